-- Monthly partitions for every table that is partitioned by a UUIDv7: events by the run's id, llm_call_logs by the call's.
-- The functions of 0001 get the table as an argument. Those without one stay, for events: the running version calls them.

-- The name of a month's partition.
CREATE FUNCTION baton_partition_name(parent text, month date) RETURNS text
    LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$ SELECT parent || '_' || to_char(month, 'YYYY_MM') $$;

-- Makes the partition of the month that begins on this day; rows of it that fell into the default partition move in.
-- False: it was there. Built beside the table and attached: writes to other months go on meanwhile.
CREATE FUNCTION baton_make_partition(parent text, month date) RETURNS boolean
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s'
AS $$
DECLARE
    part text := public.baton_partition_name(parent, month);
    low  uuid := public.baton_uuid_floor(month::timestamp AT TIME ZONE 'UTC');
    high uuid := public.baton_uuid_floor((month + interval '1 month') AT TIME ZONE 'UTC');
    key  text;
BEGIN
    IF to_regclass('public.' || part) IS NOT NULL THEN
        RETURN false;
    END IF;
    SELECT attname INTO STRICT key FROM pg_partitioned_table JOIN pg_attribute ON attrelid = partrelid
    WHERE partrelid = to_regclass('public.' || parent) AND attnum = partattrs[0];
    EXECUTE format('CREATE TABLE public.%I (LIKE public.%I INCLUDING ALL)', part, parent);
    PERFORM public.baton_close_partition(part);
    EXECUTE format('LOCK TABLE public.%I IN ACCESS EXCLUSIVE MODE', parent || '_default');
    EXECUTE format(
        'WITH moved AS (DELETE FROM public.%1$I WHERE %2$I >= %3$L AND %2$I < %4$L RETURNING *)
         INSERT INTO public.%5$I SELECT * FROM moved', parent || '_default', key, low, high, part);
    EXECUTE format(
        'ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)', parent, part, low, high);
    RETURN true;
END
$$;

-- Makes the partitions of this month and of `months_ahead` more; returns the names of the new ones.
CREATE FUNCTION baton_make_partitions(parent text, months_ahead integer) RETURNS text[]
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s'
AS $$
DECLARE
    this_month date := date_trunc('month', now() AT TIME ZONE 'UTC');
    made       text[] := '{}';
    month      date;
BEGIN
    -- two upkeepers at once: the second waits, then finds them made
    PERFORM pg_advisory_xact_lock(hashtext('baton_partitions'));
    FOR ahead IN 0 .. least(greatest(months_ahead, 0), 120) LOOP
        month := this_month + make_interval(months => ahead);
        IF public.baton_make_partition(parent, month) THEN
            made := made || public.baton_partition_name(parent, month);
        END IF;
    END LOOP;
    RETURN made;
END
$$;

-- Drops the partitions of months that ended by `before`; returns their names. A month of events with a run in it stays
-- whole: its events are deleted run by run. Calls outlive their runs, and go by their age alone.
CREATE FUNCTION baton_drop_partitions(parent text, before timestamptz) RETURNS text[]
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s'
AS $$
DECLARE
    dropped   text[] := '{}';
    part      text;
    month     date;
    month_end timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('baton_partitions'));
    FOR part IN
        SELECT child.relname FROM pg_inherits
            JOIN pg_class child ON child.oid = inhrelid
        WHERE inhparent = to_regclass('public.' || parent) AND child.relname ~ ('^' || parent || '_\d{4}_\d{2}$')
        ORDER BY 1
    LOOP
        month := to_date(right(part, 7), 'YYYY_MM');
        month_end := (month + interval '1 month') AT TIME ZONE 'UTC';
        CONTINUE WHEN month_end > before;
        CONTINUE WHEN parent = 'events' AND EXISTS (
            SELECT FROM public.runs
            WHERE id >= public.baton_uuid_floor(month::timestamp AT TIME ZONE 'UTC')
                AND id < public.baton_uuid_floor(month_end));
        EXECUTE format('DROP TABLE public.%I', part);
        dropped := dropped || part;
    END LOOP;
    RETURN dropped;
END
$$;

REVOKE ALL ON FUNCTION baton_partition_name(text, date), baton_make_partition(text, date),
    baton_make_partitions(text, integer), baton_drop_partitions(text, timestamptz) FROM PUBLIC;

-- What the version before this one calls; their grants stay as they are.
CREATE OR REPLACE FUNCTION baton_partition_name(month date) RETURNS text
    LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$ SELECT public.baton_partition_name('events', month) $$;

CREATE OR REPLACE FUNCTION baton_make_partition(month date) RETURNS boolean
    LANGUAGE sql SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s'
AS $$ SELECT public.baton_make_partition('events', month) $$;

CREATE OR REPLACE FUNCTION baton_make_partitions(months_ahead integer) RETURNS text[]
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s'
AS $$ SELECT public.baton_make_partitions('events', months_ahead) $$;

CREATE OR REPLACE FUNCTION baton_drop_partitions(before timestamptz) RETURNS text[]
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s'
AS $$ SELECT public.baton_drop_partitions('events', before) $$;

CREATE TABLE llm_call_logs_default PARTITION OF llm_call_logs DEFAULT;
SELECT public.baton_close_partition('llm_call_logs_default');
SELECT public.baton_make_partitions('llm_call_logs', 3);
