-- Monthly partitions of events, by the time in the run's UUIDv7: made ahead and dropped by the keeper's upkeep.
-- The keeper owns nothing, so both are SECURITY DEFINER with a fixed search path; nobody else may call them. Both lock
-- tables that commits need: they give up after the lock timeout and come again, rather than let commits queue behind them.

-- The smallest UUID that a run accepted at that time can have: its first 48 bits are the Unix time in ms.
CREATE FUNCTION baton_uuid_floor(moment timestamptz) RETURNS uuid
    LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
    SELECT (lpad(to_hex(floor(extract(epoch FROM moment) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;

-- The name of a month's partition.
CREATE FUNCTION baton_partition_name(month date) RETURNS text
    LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$ SELECT 'events_' || to_char(month, 'YYYY_MM') $$;

-- Makes the partition of the month that begins on this day; rows of it that fell into the default partition move in.
-- False: it was there. Built beside the table and attached: commits to other months go on meanwhile.
CREATE FUNCTION baton_make_partition(month date) RETURNS boolean
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s'
AS $$
DECLARE
    part text := public.baton_partition_name(month);
    low  uuid := public.baton_uuid_floor(month::timestamp AT TIME ZONE 'UTC');
    high uuid := public.baton_uuid_floor((month + interval '1 month') AT TIME ZONE 'UTC');
BEGIN
    IF to_regclass('public.' || part) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE public.%I (LIKE public.events INCLUDING ALL)', part);
    PERFORM public.baton_close_partition(part);
    LOCK TABLE public.events_default IN ACCESS EXCLUSIVE MODE;
    EXECUTE format(
        'WITH moved AS (DELETE FROM public.events_default WHERE run_id >= %L AND run_id < %L RETURNING *)
         INSERT INTO public.%I SELECT * FROM moved', low, high, part);
    EXECUTE format('ALTER TABLE public.events ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)', part, low, high);
    RETURN true;
END
$$;

-- Makes the partitions of this month and of `months_ahead` more; returns the names of the new ones.
CREATE FUNCTION baton_make_partitions(months_ahead integer) RETURNS text[]
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
        IF public.baton_make_partition(month) THEN
            made := made || public.baton_partition_name(month);
        END IF;
    END LOOP;
    RETURN made;
END
$$;

-- Drops the partitions of months that ended by `before` and in which no run is left; returns their names.
-- A month with an unfinished run stays whole: its events are deleted run by run.
CREATE FUNCTION baton_drop_partitions(before timestamptz) RETURNS text[]
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
        WHERE inhparent = 'public.events'::regclass AND child.relname ~ '^events_\d{4}_\d{2}$' ORDER BY 1
    LOOP
        month := to_date(right(part, 7), 'YYYY_MM');
        month_end := (month + interval '1 month') AT TIME ZONE 'UTC';
        CONTINUE WHEN month_end > before;
        CONTINUE WHEN EXISTS (
            SELECT FROM public.runs
            WHERE id >= public.baton_uuid_floor(month::timestamp AT TIME ZONE 'UTC')
                AND id < public.baton_uuid_floor(month_end));
        EXECUTE format('DROP TABLE public.%I', part);
        dropped := dropped || part;
    END LOOP;
    RETURN dropped;
END
$$;

-- A partition is reached through its parent only, whose policies hold there: on itself nobody but the owner may do anything.
CREATE FUNCTION baton_close_partition(part text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format('REVOKE ALL ON public.%I FROM PUBLIC', part);
    EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', part);
    EXECUTE format('CREATE POLICY owner ON public.%I TO CURRENT_USER USING (true) WITH CHECK (true)', part);
END
$$;

REVOKE ALL ON FUNCTION baton_uuid_floor(timestamptz), baton_partition_name(date), baton_make_partition(date),
    baton_make_partitions(integer), baton_drop_partitions(timestamptz), baton_close_partition(text) FROM PUBLIC;

CREATE TABLE events_default PARTITION OF events DEFAULT;
SELECT public.baton_close_partition('events_default');
SELECT public.baton_make_partitions(3);
