-- Monthly partitions of events, by the time in the run's UUIDv7: made ahead and dropped by the keeper's upkeep.
-- The keeper owns nothing, so both are SECURITY DEFINER with a fixed search path; nobody else may call them. Both lock
-- tables that commits need: they give up after the lock timeout and come again, rather than let commits queue behind them.

-- The smallest UUID that a run accepted at that time can have: its first 48 bits are the Unix time in ms.
CREATE FUNCTION baton_uuid_floor(moment timestamptz) RETURNS uuid
    LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
    SELECT (lpad(to_hex(floor(extract(epoch FROM moment) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;

-- Makes the partition of this month and of `months_ahead` more; returns the names of the new ones.
-- Rows of such a month that fell into the default partition meanwhile move to their place.
CREATE FUNCTION baton_make_partitions(months_ahead integer) RETURNS text[]
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s'
AS $$
DECLARE
    first_month timestamp := date_trunc('month', now() AT TIME ZONE 'UTC');
    made        text[] := '{}';
    month       timestamp;
    part        text;
    low         uuid;
    high        uuid;
BEGIN
    -- two upkeepers at once: the second waits, then finds them made
    PERFORM pg_advisory_xact_lock(hashtext('baton_partitions'));
    FOR ahead IN 0 .. least(greatest(months_ahead, 0), 120) LOOP
        month := first_month + make_interval(months => ahead);
        part := 'events_' || to_char(month, 'YYYY_MM');
        CONTINUE WHEN to_regclass('public.' || part) IS NOT NULL;
        low := public.baton_uuid_floor(month AT TIME ZONE 'UTC');
        high := public.baton_uuid_floor((month + interval '1 month') AT TIME ZONE 'UTC');
        EXECUTE format('CREATE TABLE public.%I (LIKE public.events INCLUDING ALL)', part);
        PERFORM public.baton_close_partition(part);
        LOCK TABLE public.events_default IN ACCESS EXCLUSIVE MODE;
        EXECUTE format(
            'WITH moved AS (DELETE FROM public.events_default WHERE run_id >= %L AND run_id < %L RETURNING *)
             INSERT INTO public.%I SELECT * FROM moved', low, high, part);
        EXECUTE format('ALTER TABLE public.events ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)', part, low, high);
        made := made || part;
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
    dropped text[] := '{}';
    part    text;
    month   timestamp;
    low     uuid;
    high    uuid;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('baton_partitions'));
    FOR part IN
        SELECT child.relname FROM pg_inherits
            JOIN pg_class child ON child.oid = inhrelid
        WHERE inhparent = 'public.events'::regclass AND child.relname ~ '^events_\d{4}_\d{2}$' ORDER BY 1
    LOOP
        month := to_date(right(part, 7), 'YYYY_MM');
        CONTINUE WHEN (month + interval '1 month') AT TIME ZONE 'UTC' > before;
        low := public.baton_uuid_floor(month AT TIME ZONE 'UTC');
        high := public.baton_uuid_floor((month + interval '1 month') AT TIME ZONE 'UTC');
        CONTINUE WHEN EXISTS (SELECT FROM public.runs WHERE id >= low AND id < high);
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

REVOKE ALL ON FUNCTION baton_uuid_floor(timestamptz), baton_make_partitions(integer), baton_drop_partitions(timestamptz),
    baton_close_partition(text) FROM PUBLIC;

CREATE TABLE events_default PARTITION OF events DEFAULT;
SELECT public.baton_close_partition('events_default');
SELECT public.baton_make_partitions(3);
