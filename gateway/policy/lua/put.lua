-- Writes entries whose revision is higher than what is there. Absolute and idempotent.
-- KEYS[1] hash of entries, KEYS[2] token that changes with each change
-- ARGV[1] fresh token, then pairs of name and "revision|JSON"
local changed = redis.call('EXISTS', KEYS[2]) == 0
for i = 2, #ARGV, 2 do
  local old = redis.call('HGET', KEYS[1], ARGV[i])
  local oldRevision = old and tonumber(string.match(old, '^(%d+)|')) or -1
  if tonumber(string.match(ARGV[i + 1], '^(%d+)|')) > oldRevision then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
    changed = true
  end
end
if changed then redis.call('SET', KEYS[2], ARGV[1]) end
return redis.call('GET', KEYS[2])
