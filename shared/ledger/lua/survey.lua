-- survey: who waits for what and how full the workers are, for people and metrics. Changes nothing.
-- KEYS  prefix
-- ARGV  now
-- reply { {model, tickets, ...}, {worker, held, capacity, ...} }, in no order
local count, waiting, workers = {}, {}, {}
for _, id in ipairs(call('ZRANGE', P .. 't', 0, -1)) do
  local model = record(id).model
  count[model] = (count[model] or 0) + 1
end
for model, tickets in pairs(count) do
  waiting[#waiting + 1] = model
  waiting[#waiting + 1] = tickets
end
for _, w in ipairs(call('ZRANGE', P .. 's', 0, -1)) do
  workers[#workers + 1] = w
  workers[#workers + 1] = call('ZCARD', P .. 'l:' .. w)
  workers[#workers + 1] = tonumber(call('HGET', P .. 'w:' .. w, 'capacity'))
end
return { waiting, workers }
