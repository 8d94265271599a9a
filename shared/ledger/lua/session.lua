-- session: a gateway lives, and says which tickets it still waits on. Its word on tickets wins over the ledger's.
-- KEYS  prefix
-- ARGV  now, gateway, version of the roster that it has, ids of its tickets...
-- reply { states, version, '1' when whole, {worker, announcement, ...}, {gone worker, ...}, waiting, gateways, now }
--       one state per id: {'wait', place, count of workers that serve its model} | {'held', worker, epoch} | {'gone'}
local gateway, known = ARGV[2], ARGV[3]
call('ZADD', P .. 'g', now + SESSION_MS, gateway)
reap()

local listed, states = {}, {}
for i = 4, #ARGV do
  local id = ARGV[i]
  local r = record(id)
  listed[id] = true
  if not r then
    states[#states + 1] = { 'gone' }
  elseif r.state == 'wait' then
    states[#states + 1] = { 'wait', place(id, r), servers(r.model) }
  else
    states[#states + 1] = { 'held', r.worker, r.epoch }
  end
end
for _, id in ipairs(call('SMEMBERS', P .. 'gt:' .. gateway)) do
  local r = record(id)
  -- The grace is for a take that this session crossed on its way.
  if not listed[id] and now - r.since > GRACE_MS then
    withdraw(id, r)
    count('tickets_unlisted', 1)
  end
end

-- A version from before this pool's birth, from before the oldest departure kept, or from another clock says nothing.
local meta = call('HMGET', P .. 'm', 'birth', 'kept', 'version')
local oldest = math.max(tonumber(meta[1]), tonumber(meta[2]) or 0)
local whole = tonumber(known) < oldest or tonumber(known) > tonumber(meta[3])
local after = whole and '-inf' or '(' .. known
local present = {}
for _, w in ipairs(call('ZRANGEBYSCORE', P .. 'ro', after, '+inf')) do
  present[#present + 1] = w
  present[#present + 1] = call('HGET', P .. 'w:' .. w, 'announcement')
end
local gone = whole and {} or call('ZRANGEBYSCORE', P .. 'rg', after, '+inf')
return {
  states, meta[3], whole and '1' or '0', present, gone, call('ZCARD', P .. 't'), call('ZCARD', P .. 'g'),
  exact(micros / 1000),
}
