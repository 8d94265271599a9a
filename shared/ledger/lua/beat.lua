-- beat: a worker lives, and says what it runs. Its word on leases wins over the ledger's.
-- KEYS  prefix
-- ARGV  now, worker, epoch, '1' on the first beat of a life, '1' on the last, capacity, weight, announcement,
--       model that it is loading or '', model that is to go for it or '', count of served models, served models..., then for each running
--       lease: id, model, team, key, gateway
-- reply {'ok', added, dropped, model that it is to load or '', model that is to go for it or ''} | {'stale', epoch of the life that is known}
local w, epoch = ARGV[2], ARGV[3]
local hash, leases = P .. 'w:' .. w, P .. 'l:' .. w
local old = call('HMGET', hash, 'epoch', 'suspects', 'announcement')
if old[1] and old[1] ~= epoch then
  if ARGV[4] ~= '1' then return { 'stale', old[1] } end
  bury(w, 'new_epoch')
  old = { false, false, false }
end
if ARGV[5] == '1' then
  if old[1] then bury(w, 'worker_left') end
  reap()
  return { 'ok', 0, 0, '', '' }
end

-- 1 Who it is now.
local known, served, isServed = old[1], {}, {}
for i = 12, 11 + tonumber(ARGV[11]) do
  served[#served + 1] = ARGV[i]
  isServed[ARGV[i]] = true
end
call('HDEL', hash, 'parked')
call('ZADD', P .. 's', now + WORKER_MS, w)
if old[3] ~= ARGV[8] then
  call('HSET', hash, 'announcement', ARGV[8])
  call('ZADD', P .. 'ro', revise(), w)
  call('ZREM', P .. 'rg', w)
end

-- 2 The order that it has. It is void when its time is over, when the model is there, and when the worker has heard of
--   it and does not obey any more. Of a load that the ledger does not know the worker's word is taken, unless
--   another worker loads the model: an order that was lost with the ledger goes on.
local loading, o = ARGV[9], order(w)
local late = o and tonumber(call('ZSCORE', P .. 'o', w)) < now
if o and (late or isServed[o.model] or (o.heard and loading ~= o.model)) then
  void(w)
  o = nil
elseif o and loading == o.model and not o.heard then
  o.heard = true
  command(w, o, now + LOAD_MS)
end
if not o and not late and loading ~= '' and not isServed[loading] and not call('HGET', P .. 'ld', loading) then
  o = { model = loading, victim = ARGV[10], gateway = '', heard = true }
  command(w, o, now + LOAD_MS)
end
-- The victim gets nothing new while the order stands, so that its streams run out.
local kept = {}
for _, model in ipairs(served) do
  if not o or model ~= o.victim then kept[#kept + 1] = model end
end
serve(w, kept)
call('HSET', hash, 'epoch', epoch, 'capacity', ARGV[6], 'weight', ARGV[7])

-- 3 Leases that it runs and the ledger does not know: at once from a worker that is new here, and when the ledger
--   thought that they still wait, for else they would be given a slot below; else when it says so twice, for this
--   beat may have crossed the lease's end on its way.
local before, suspects, suspected, running, added, shrunk = old[2] and cmsgpack.unpack(old[2]) or {}, {}, false, {}, 0, {}
for i = 12 + #served, #ARGV, 5 do
  local id = ARGV[i]
  local unknown = not running[id] and not call('ZSCORE', leases, id)
  running[id] = true
  local other = unknown and record(id)
  if unknown and (not known or (other and other.state == 'wait') or (before[id] and now - before[id] >= SUSPECT_MS)) then
    local r = { state = 'held', model = ARGV[i + 1], class = '1', team = ARGV[i + 2], key = ARGV[i + 3],
      gateway = ARGV[i + 4], cost = 0, age = now, since = now, exclude = {}, worker = w, epoch = epoch }
    if other and other.state == 'wait' then
      dequeue(id, other)
    elseif other then
      -- Charged once already, for a slot on another worker.
      r.cost, r.since = other.cost, other.since
      call('ZREM', P .. 'l:' .. other.worker, id)
      shrunk[#shrunk + 1] = other.worker
    end
    save(id, r)
    call('ZADD', leases, now, id)
    added = added + 1
  elseif unknown then
    suspects[id], suspected = before[id] or now, true
  end
end
if suspected then call('HSET', hash, 'suspects', cmsgpack.pack(suspects)) else call('HDEL', hash, 'suspects') end

-- 4 Leases that it does not run; the grace is for requests on their way to it.
local dropped = 0
for _, id in ipairs(call('ZRANGEBYSCORE', leases, '-inf', '(' .. (now - GRACE_MS))) do
  if not running[id] then
    drop(id, record(id))
    dropped = dropped + 1
  end
end

count('leases_added', added)
count('leases_dropped', dropped)

-- 5 The dead first, so that nothing is given to them.
reap()
for _, other in ipairs(shrunk) do handoff(other) end
handoff(w)
return { 'ok', added, dropped, o and o.model or '', o and o.victim or '' }
