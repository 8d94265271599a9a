-- leave: this id is no more, whether it waited or held a slot. A freed slot goes straight to the next in line.
-- KEYS  prefix
-- ARGV  now, id, actual slot-seconds or '' to keep the estimate, '1' when the worker refused the request
-- reply 'gone' | 'waited' | 'held'
local id = ARGV[2]
local r = record(id)
if not r then return 'gone' end
if r.state == 'wait' then
  withdraw(id, r)
  return 'waited'
end
drop(id, r, tonumber(ARGV[3]))
-- A worker that says "busy" knows better: it gets nothing until its next beat, or its refusals would make a storm.
if ARGV[4] == '1' then call('HSET', P .. 'w:' .. r.worker, 'parked', 1) end
handoff(r.worker)
return 'held'
