-- take: a slot now, a place in the line, or neither. Asked again by the same id, it answers what is.
-- KEYS  prefix
-- ARGV  now, id, gateway, model, class 0-2, team, key, weight, cost in slot-seconds, age in ms or '', most tickets in the
--       pool, most under one key, slack, count of preferred, preferred workers..., excluded workers...
-- reply {'held', age, worker, epoch} | {'wait', age, place, count of workers that serve the model} | {'full', age, 'all' | 'key'}
local id, model = ARGV[2], ARGV[4]
local r = record(id)
if r and r.state == 'held' then return { 'held', exact(r.age), r.worker, r.epoch } end
if r then return { 'wait', exact(r.age), place(id, r), servers(r.model) } end

local preferred = tonumber(ARGV[14])
r = {
  state = 'wait', gateway = ARGV[3], model = model, class = ARGV[5], team = ARGV[6], key = ARGV[7],
  cost = tonumber(ARGV[9]), age = math.min(tonumber(ARGV[10]) or now, now), since = now, exclude = {},
}
for i = 15 + preferred, #ARGV do r.exclude[#r.exclude + 1] = ARGV[i] end

-- 1 The least loaded of the free ones; so many are looked at as could be excluded, and one.
local index, w, least = P .. 'i:' .. model, nil, nil
local free = call('ZRANGE', index, 0, #r.exclude, 'WITHSCORES')
for i = 1, #free, 2 do
  if not w and not excludes(r, free[i]) then w, least = free[i], tonumber(free[i + 1]) end
end

-- 2 The first of the preferred that is free and not much more loaded.
for i = 15, 14 + preferred do
  local load = w and tonumber(call('ZSCORE', index, ARGV[i]))
  if load and load <= least + tonumber(ARGV[13]) and not excludes(r, ARGV[i]) then
    w = ARGV[i]
    break
  end
end
if w then
  local epoch = give(id, r, w)
  reindex(w)
  return { 'held', exact(r.age), w, epoch }
end

-- 3 Nothing is free: wait, within the bounds. One may always wait for a model that nobody serves: somebody has to ask
--   for it to be loaded.
local first = servers(model) == 0 and call('ZCARD', P .. 'q:' .. model) == 0
if not first and call('ZCARD', P .. 't') >= tonumber(ARGV[11]) then return { 'full', exact(r.age), 'all' } end
if not first and (tonumber(call('HGET', P .. 'n', pair(r.team, r.key))) or 0) >= tonumber(ARGV[12]) then
  return { 'full', exact(r.age), 'key' }
end
weigh(r.team, tonumber(ARGV[8]))
enqueue(id, r)
return { 'wait', exact(r.age), place(id, r), servers(model) }
