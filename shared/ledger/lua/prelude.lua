-- What the operations share. It is put before each of them, and gateway/ledger/memory.ts is its twin: the same
-- functions under the same names, in the same order. Change both; a property test compares them step by step.
--
-- KEYS[1]  prefix of every key, `b:{pool}:`. The braces keep a pool in one slot of a cluster.
-- ARGV[1]  now in ms, or '' for Redis's own clock (a test brings a virtual one)
--
--   m            HASH  schema, era, birth, version, kept
--   r            HASH  id -> record in msgpack: state, model, class, team, key, gateway, cost, age, since, exclude,
--                      and when held: worker, epoch
--   w:<worker>   HASH  epoch, capacity, weight, serves, suspects,
--                      announcement; parked while it may get nothing; order while it is to load a model, in msgpack:
--                      model, victim, gateway, heard
--   l:<worker>   ZSET  lease -> when it was taken
--   i:<model>    ZSET  worker -> load; only workers that serve it, have a free slot and are not parked
--   sv:<model>   SET   workers that serve it
--   ld           HASH  model -> worker that is to load it
--   o            ZSET  worker -> when its order is void
--   s, g         ZSET  worker, gateway -> when it is dead unless heard of
--   gt:<gateway> SET   its tickets
--   t            ZSET  every ticket -> age
--   n            HASH  team and key -> its tickets
--   q:<model>    ZSET  class and team -> score
--   k:<line>     ZSET  key -> score; a line is class, model and team
--   f:<line,key> ZSET  ticket -> age
--   tw:<team>    SET   class and model of each line that the team stands in
--   u            HASH  `t` team, `k` team and key -> usage, inflated
--   ua           ZSET  the same -> when it was last charged
--   wt           HASH  team -> weight
--   ct           HASH  what is counted (ledgerCounts in ../ledger.ts) -> times
--   ro, rg       ZSET  worker -> version of the roster at which it changed, or went
--
-- Names may hold any character: of two names in one, the first is preceded by its length.
local P = KEYS[1]
local call = redis.call
local SCHEMA = '1'
local GRACE_MS, SESSION_MS, WORKER_MS = 2000, 3000, 5000
local HALF_LIFE_MS = 60000
local ERA_HALF_LIVES_MAX, ERA_HALF_LIVES_BACK = 500, 60
local USAGE_MEMORY_MS = 20 * HALF_LIFE_MS -- a millionth is left
local USAGE_ENTRIES_MAX = 10000
local GONE_MAX = 256
local LOOKS_MAX, PASSED_OVER_MAX, REAPED_MAX, FORGOTTEN_MAX = 64, 8, 2, 4
local SUSPECT_MS = 500
local ORDER_MS, LOAD_MS = 10000, 600000

local now, micros = tonumber(ARGV[1]), nil
if now then
  micros = now * 1000
else
  local time = call('TIME')
  micros = time[1] * 1000000 + time[2]
  now = math.floor(micros / 1000)
end
local stamp = string.format('%.0f', micros)

-- Versions of the roster start at the microsecond of the pool's birth: after a FLUSHALL no old version looks fresh.
local meta = call('HMGET', P .. 'm', 'schema', 'era')
if not meta[1] then
  call('HSET', P .. 'm', 'schema', SCHEMA, 'era', now, 'birth', micros + 1, 'version', micros + 1)
elseif meta[1] ~= SCHEMA then
  return redis.error_reply('BERTHSCHEMA the ledger at ' .. P .. ' has schema ' .. meta[1] .. ', this program needs ' .. SCHEMA)
end
local era = tonumber(meta[2]) or now

local function exact(number) return string.format('%.17g', number) end
local function pair(first, second) return #first .. ':' .. first .. second end
local function unpair(both)
  local length, rest = string.match(both, '^(%d+):(.*)$')
  return string.sub(rest, 1, length), string.sub(rest, length + 1)
end

local function record(id)
  local packed = call('HGET', P .. 'r', id)
  return packed and cmsgpack.unpack(packed)
end
local function save(id, r) call('HSET', P .. 'r', id, cmsgpack.pack(r)) end
local function serves(w)
  local packed = call('HGET', P .. 'w:' .. w, 'serves')
  return packed and cmsgpack.unpack(packed) or {}
end

-- What the worker may be given from now on; the caller reindexes.
local function serve(w, models)
  for _, model in ipairs(serves(w)) do
    call('ZREM', P .. 'i:' .. model, w)
    call('SREM', P .. 'sv:' .. model, w)
  end
  for _, model in ipairs(models) do call('SADD', P .. 'sv:' .. model, w) end
  call('HSET', P .. 'w:' .. w, 'serves', cmsgpack.pack(models))
end
local function servers(model) return call('SCARD', P .. 'sv:' .. model) end

-- The order to load a model that a worker has, if it has one: at most one per worker, and one per model.
local function order(w)
  local packed = call('HGET', P .. 'w:' .. w, 'order')
  return packed and cmsgpack.unpack(packed)
end
local function command(w, o, deadline)
  call('HSET', P .. 'w:' .. w, 'order', cmsgpack.pack(o))
  call('HSET', P .. 'ld', o.model, w)
  call('ZADD', P .. 'o', deadline, w)
end
-- A victim is served again by the next beat, which says whether it is still there.
local function void(w)
  local o = order(w)
  if not o then return end
  call('HDEL', P .. 'w:' .. w, 'order')
  call('HDEL', P .. 'ld', o.model)
  call('ZREM', P .. 'o', w)
end

-- 2^x in straight pieces: only exact operations, so Lua and TypeScript get the same bits. The bound is never near.
local function inflate(time)
  local x = math.max(-1000, math.min(1000, (time - era) / HALF_LIFE_MS))
  local whole = math.floor(x)
  return 2 ^ whole * (1 + x - whole)
end

local function usage(entry) return tonumber(call('HGET', P .. 'u', entry)) or 0 end
local function weight(team) return tonumber(call('HGET', P .. 'wt', team)) or 1 end

local function count(what, times) if times > 0 then call('HINCRBY', P .. 'ct', what, times) end end

local function head(zset)
  local first = call('ZRANGE', zset, 0, 0, 'WITHSCORES')
  return first[1], tonumber(first[2])
end
local function line(class, model, team) return P .. 'k:' .. class .. pair(model, team) end
local function fifo(class, model, team, key) return P .. 'f:' .. class .. pair(model, pair(team, key)) end

-- Sets the key's place in the team's line, and the team's place among those that wait for the model.
local function rank(class, model, team, key)
  local keys = line(class, model, team)
  local first, age = head(fifo(class, model, team, key))
  if first then call('ZADD', keys, usage('k' .. pair(team, key)) + inflate(age), key) else call('ZREM', keys, key) end
  local leader = head(keys)
  if not leader then
    call('ZREM', P .. 'q:' .. model, class .. team)
    call('SREM', P .. 'tw:' .. team, class .. model)
    return
  end
  local _, leaderAge = head(fifo(class, model, team, leader))
  local score = (usage('t' .. team) + inflate(leaderAge)) / weight(team) * 4 ^ tonumber(class)
  call('ZADD', P .. 'q:' .. model, score, class .. team)
end

-- The same in every line that the team stands in, after its usage or the key's changed.
local function rescore(team, key)
  for _, place in ipairs(call('SMEMBERS', P .. 'tw:' .. team)) do
    rank(string.sub(place, 1, 1), string.sub(place, 2), team, key)
  end
end

-- The team's share from now on. Only one that is not 1 is written down.
local function weigh(team, w)
  if w == weight(team) then return end
  if w == 1 then call('HDEL', P .. 'wt', team) else call('HSET', P .. 'wt', team, exact(w)) end
  rescore(team, '')
end

local function forget(entry)
  call('HDEL', P .. 'u', entry)
  call('ZREM', P .. 'ua', entry)
  local name = string.sub(entry, 2)
  if string.sub(entry, 1, 1) == 't' then rescore(name, '') else rescore(unpair(name)) end
end

local function spend(entry, amount)
  local total = usage(entry) + amount
  if total <= 0 then
    call('HDEL', P .. 'u', entry)
    call('ZREM', P .. 'ua', entry)
    return
  end
  call('HSET', P .. 'u', entry, exact(total))
  call('ZADD', P .. 'ua', now, entry)
  if call('ZCARD', P .. 'ua') > USAGE_ENTRIES_MAX then forget((head(P .. 'ua'))) end
end

-- Adds inflated slot-seconds to what team and key have used; a refund is negative.
local function charge(team, key, amount)
  if amount == 0 then return end
  spend('t' .. team, amount)
  spend('k' .. pair(team, key), amount)
  rescore(team, key)
end

-- Moves the era before the inflation outgrows a double; usage that is dust by then is dropped. A clock that went
-- back by an hour makes usage meaningless: it starts anew.
local function rebase()
  local halfLives = (now - era) / HALF_LIFE_MS
  if halfLives < ERA_HALF_LIVES_MAX and halfLives > -ERA_HALF_LIVES_BACK then return end
  local shift = math.floor(halfLives)
  era = era + shift * HALF_LIFE_MS
  call('HSET', P .. 'm', 'era', era)
  for _, entry in ipairs(call('HKEYS', P .. 'u')) do
    local left = halfLives > 0 and usage(entry) * 2 ^ -shift or 0
    if left < 2 ^ -20 then
      call('HDEL', P .. 'u', entry)
      call('ZREM', P .. 'ua', entry)
    else
      call('HSET', P .. 'u', entry, exact(left))
    end
  end
  for _, id in ipairs(call('ZRANGE', P .. 't', 0, -1)) do
    local r = record(id)
    rank(r.class, r.model, r.team, r.key)
  end
end
rebase()

-- Sets the worker's place among the free ones of each model that it serves. Returns its free slots, 0 when parked.
local function reindex(w)
  local h = call('HMGET', P .. 'w:' .. w, 'capacity', 'weight', 'parked')
  local capacity, used = tonumber(h[1]) or 0, call('ZCARD', P .. 'l:' .. w)
  local free = h[3] and 0 or math.max(0, capacity - used)
  for _, model in ipairs(serves(w)) do
    if free > 0 then
      call('ZADD', P .. 'i:' .. model, used / (capacity * tonumber(h[2])), w)
    else
      call('ZREM', P .. 'i:' .. model, w)
    end
  end
  return free
end

-- The one place where a slot is given. The caller reindexes. Returns the epoch.
local function give(id, r, w)
  r.state, r.worker, r.epoch, r.since = 'held', w, call('HGET', P .. 'w:' .. w, 'epoch'), now
  call('ZADD', P .. 'l:' .. w, now, id)
  save(id, r)
  charge(r.team, r.key, r.cost * inflate(now))
  return r.epoch
end

-- Puts a ticket into its line by its age, and opens its gateway's session: without one it would never be reaped.
local function enqueue(id, r)
  save(id, r)
  call('ZADD', P .. 'g', 'NX', now + SESSION_MS, r.gateway)
  call('SADD', P .. 'gt:' .. r.gateway, id)
  call('ZADD', P .. 't', r.age, id)
  call('HINCRBY', P .. 'n', pair(r.team, r.key), 1)
  call('ZADD', fifo(r.class, r.model, r.team, r.key), r.age, id)
  call('SADD', P .. 'tw:' .. r.team, r.class .. r.model)
  rank(r.class, r.model, r.team, r.key)
end

-- Takes a ticket out of its line; its record stays for the caller to change or to delete.
local function dequeue(id, r)
  call('SREM', P .. 'gt:' .. r.gateway, id)
  call('ZREM', P .. 't', id)
  if call('HINCRBY', P .. 'n', pair(r.team, r.key), -1) <= 0 then call('HDEL', P .. 'n', pair(r.team, r.key)) end
  call('ZREM', fifo(r.class, r.model, r.team, r.key), id)
  rank(r.class, r.model, r.team, r.key)
end
local function withdraw(id, r)
  dequeue(id, r)
  call('HDEL', P .. 'r', id)
end

-- About how many are served before this ticket: fair order has no fixed rank.
local function place(id, r)
  return (call('ZRANK', fifo(r.class, r.model, r.team, r.key), id) + 1) * call('ZCARD', P .. 'q:' .. r.model)
end

-- The ticket whose turn it is among the models that the worker serves: one look per model. First the team with the
-- least score, then, over all models at whose head it is, its key with the least. A tie goes to the older.
local function best(w)
  local first, heads = nil, {}
  local function less(it, that, by) return it[by] < that[by] or (it[by] == that[by] and it.age < that.age) end
  for _, model in ipairs(serves(w)) do
    local team, score = head(P .. 'q:' .. model)
    if team then
      local class, name = string.sub(team, 1, 1), string.sub(team, 2)
      local key, keyScore = head(line(class, model, name))
      local id, age = head(fifo(class, model, name, key))
      local it = { id = id, age = age, team = team, score = score, keyScore = keyScore }
      heads[#heads + 1] = it
      if not first or less(it, first, 'score') then first = it end
    end
  end
  local turn = first
  for _, it in ipairs(heads) do
    if it.team == first.team and less(it, turn, 'keyScore') then turn = it end
  end
  return turn and turn.id
end

local function excludes(r, w)
  for _, name in ipairs(r.exclude) do if name == w then return true end end
  return false
end

-- Fills the worker's free slots with the waiters whose turn it is. No ear, no grant: where nobody listens the
-- ticket is forgotten, and its owner, if it lives, asks within a second and comes back with its age.
local function handoff(w)
  local free, epoch, aside = reindex(w), call('HGET', P .. 'w:' .. w, 'epoch'), {}
  local given, looks = 0, 0
  while given < free and looks < LOOKS_MAX and #aside <= PASSED_OVER_MAX do
    looks = looks + 1
    local id = best(w)
    if not id then break end
    local r = record(id)
    dequeue(id, r)
    if excludes(r, w) then
      aside[#aside + 1] = { id = id, r = r }
    elseif call('PUBLISH', P .. 'c:' .. r.gateway, cjson.encode({ id, w, epoch, stamp })) > 0 then
      give(id, r, w)
      given = given + 1
    else
      call('HDEL', P .. 'r', id)
      count('tickets_unheard', 1)
    end
  end
  for _, ticket in ipairs(aside) do enqueue(ticket.id, ticket.r) end
  if given > 0 then reindex(w) end
end

-- A lease ends, once; `actual` slot-seconds settle what was charged, at the inflation of the charge.
local function drop(id, r, actual)
  call('ZREM', P .. 'l:' .. r.worker, id)
  call('HDEL', P .. 'r', id)
  if actual then charge(r.team, r.key, (actual - r.cost) * inflate(r.since)) end
end

local function revise() return call('HINCRBY', P .. 'm', 'version', 1) end

-- A worker's life is over: its leases are void. The roster remembers for a while that it went.
local function bury(w, why)
  local leases = call('ZRANGE', P .. 'l:' .. w, 0, -1)
  for _, id in ipairs(leases) do call('HDEL', P .. 'r', id) end
  count('leases_' .. why, #leases)
  serve(w, {})
  void(w)
  call('DEL', P .. 'l:' .. w, P .. 'w:' .. w)
  call('ZREM', P .. 's', w)
  call('ZREM', P .. 'ro', w)
  call('ZADD', P .. 'rg', revise(), w)
  if call('ZCARD', P .. 'rg') > GONE_MAX then
    local oldest = call('ZPOPMIN', P .. 'rg')
    call('HSET', P .. 'm', 'kept', oldest[2])
  end
end

-- Whoever calls buries a few of the dead and forgets a few old debts: nothing relies on a timer of Redis.
local function reap()
  local dead = '(' .. now
  for _, w in ipairs(call('ZRANGEBYSCORE', P .. 's', '-inf', dead, 'LIMIT', 0, REAPED_MAX)) do bury(w, 'dead_worker') end
  for _, gateway in ipairs(call('ZRANGEBYSCORE', P .. 'g', '-inf', dead, 'LIMIT', 0, REAPED_MAX)) do
    local tickets = call('SMEMBERS', P .. 'gt:' .. gateway)
    for _, id in ipairs(tickets) do withdraw(id, record(id)) end
    count('tickets_dead_session', #tickets)
    call('ZREM', P .. 'g', gateway)
  end
  for _, w in ipairs(call('ZRANGEBYSCORE', P .. 'o', '-inf', dead, 'LIMIT', 0, REAPED_MAX)) do void(w) end
  local old = call('ZRANGEBYSCORE', P .. 'ua', '-inf', '(' .. (now - USAGE_MEMORY_MS), 'LIMIT', 0, FORGOTTEN_MAX)
  for _, entry in ipairs(old) do forget(entry) end
end
