-- survey: who waits for what, how full the workers are, and what was counted, for people and metrics. Changes nothing.
-- KEYS  prefix
-- ARGV  now
-- reply { {model, class, tickets, age of the oldest, ...}, {worker, held, capacity, ...}, {worker, model, held, ...}, {name, times, ...} },
--       in no order
local function tally(ids, field)
  local times, flat = {}, {}
  for from = 1, #ids, 1000 do
    for _, packed in ipairs(call('HMGET', P .. 'r', unpack(ids, from, math.min(from + 999, #ids)))) do
      local name = field(cmsgpack.unpack(packed))
      times[name] = (times[name] or 0) + 1
    end
  end
  for name, number in pairs(times) do
    flat[#flat + 1] = name
    flat[#flat + 1] = number
  end
  return flat
end

local waiting, workers, leases, oldest = {}, {}, {}, {}
local lines = tally(call('ZRANGE', P .. 't', 0, -1), function(r)
  local line = r.class .. r.model
  oldest[line] = math.min(oldest[line] or r.age, r.age)
  return line
end)
for i = 1, #lines, 2 do
  waiting[#waiting + 1] = string.sub(lines[i], 2)
  waiting[#waiting + 1] = string.sub(lines[i], 1, 1)
  waiting[#waiting + 1] = lines[i + 1]
  waiting[#waiting + 1] = exact(oldest[lines[i]])
end
for _, w in ipairs(call('ZRANGE', P .. 's', 0, -1)) do
  local ids = call('ZRANGE', P .. 'l:' .. w, 0, -1)
  workers[#workers + 1] = w
  workers[#workers + 1] = #ids
  workers[#workers + 1] = tonumber(call('HGET', P .. 'w:' .. w, 'capacity'))
  local models = tally(ids, function(r) return r.model end)
  for i = 1, #models, 2 do
    leases[#leases + 1] = w
    leases[#leases + 1] = models[i]
    leases[#leases + 1] = models[i + 1]
  end
end
return { waiting, workers, leases, call('HGETALL', P .. 'ct') }
