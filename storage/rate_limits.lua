-- Take from several windows at once, or from none of them (storage/rate_limits.py).
--
-- KEYS: a list of times (newest first, as the library `limits` writes it) or a counter for each window.
-- ARGV: '1' to take whatever the limits say, then for each window: '1' for a counter, limit, seconds, cost, and the count
-- from which on the tenant is warned (0: never).
-- Answers: the number of the window that refused (0: none), milliseconds until it would not, then for each window what is
-- used now, milliseconds until its oldest part is free again, and 1 where this is its first warning in a window's time.
-- Where Redis' clock went back, a window's own time stands still until it is reached again, so that none lets one too many
-- in; what lies a whole window or more ahead is forgotten, so that nobody is shut out for as long as the clock was wrong.

local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local windows, refused, wait = {}, 0, -1

for i, key in ipairs(KEYS) do
    local at = 5 * i - 3
    local window = {
        counter = ARGV[at] == '1', limit = tonumber(ARGV[at + 1]), seconds = tonumber(ARGV[at + 2]),
        cost = tonumber(ARGV[at + 3]), warn_at = tonumber(ARGV[at + 4]), resets = 0, now = now
    }
    local free_in
    if window.counter then
        if redis.call('PTTL', key) > window.seconds * 1000 then
            redis.call('EXPIRE', key, window.seconds)
        end
        window.used = tonumber(redis.call('GET', key) or 0)
        window.resets = math.max(redis.call('PTTL', key), 0) / 1000
        free_in = window.resets
    else
        local newest = tonumber(redis.call('LINDEX', key, 0) or 0)
        if newest - window.seconds >= now then
            redis.call('DEL', key)
        else
            window.now = math.max(now, newest)
        end
        local oldest = redis.call('LINDEX', key, -1)
        while oldest and oldest + window.seconds <= window.now do
            redis.call('RPOP', key)
            oldest = redis.call('LINDEX', key, -1)
        end
        window.used = redis.call('LLEN', key)
        if oldest then
            window.resets = oldest + window.seconds - now
        end
        local last_in_the_way = window.limit >= window.cost and redis.call('LINDEX', key, window.limit - window.cost)
        free_in = last_in_the_way and last_in_the_way + window.seconds - now or window.seconds
    end
    if window.cost > 0 and window.used + window.cost > window.limit and free_in > wait then
        refused, wait = i, free_in
    end
    windows[i] = window
end

local answer = {ARGV[1] == '1' and 0 or refused, math.ceil(math.max(wait, 0) * 1000)}
for i, key in ipairs(KEYS) do
    local window, warned = windows[i], 0
    if answer[1] == 0 and window.cost > 0 then
        if window.counter then
            redis.call('INCRBY', key, window.cost)
            if redis.call('PTTL', key) < 0 then
                redis.call('EXPIRE', key, window.seconds)
                window.resets = window.seconds
            end
        else
            for _ = 1, window.cost do
                redis.call('LPUSH', key, string.format('%.6f', window.now))
            end
            redis.call('EXPIRE', key, window.seconds)
            if window.used == 0 then
                window.resets = window.seconds
            end
        end
        window.used = window.used + window.cost
        if window.warn_at > 0 and window.used >= window.warn_at
            and redis.call('SET', key .. ':warned', '1', 'NX', 'EX', window.seconds) then
            warned = 1
        end
    end
    table.insert(answer, window.used)
    table.insert(answer, math.ceil(window.resets * 1000))
    table.insert(answer, warned)
end
return answer
