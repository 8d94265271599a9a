-- claim: a gateway proposes that a worker load a model. Compare and set: it is ordered only if the ledger is still as
-- the gateway saw it, so that of many who propose one is heard. The victim gets nothing new from now on.
-- KEYS  prefix
-- ARGV  now, gateway, model, worker, epoch of the worker, model that is to go for it or '', version of the roster that
--       the gateway has, count of workers that served the model when it last heard
-- reply 'ordered' | 'loading' (some worker is to load it already) | 'moved' (something has changed)
local gateway, model, w, epoch, victim = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
reap()
local o, lives = order(w), call('HGET', P .. 'w:' .. w, 'epoch') == epoch

-- 1 Asked again by its author, it answers what is.
if o and lives and o.gateway == gateway and o.model == model and o.victim == victim then return 'ordered' end

-- 2 One load of a model at a time, and one order for a worker.
if call('HGET', P .. 'ld', model) then return 'loading' end
local seen = tonumber(call('ZSCORE', P .. 'ro', w)) or 0
if o or not lives or seen > tonumber(ARGV[7]) or servers(model) ~= tonumber(ARGV[8]) then return 'moved' end

-- 3 The worker must lack the model and have the victim.
local kept, hasModel, hasVictim = {}, false, victim == ''
for _, served in ipairs(serves(w)) do
  hasModel = hasModel or served == model
  if served == victim then hasVictim = true else kept[#kept + 1] = served end
end
if hasModel or not hasVictim then return 'moved' end
command(w, { model = model, victim = victim, gateway = gateway, heard = false }, now + ORDER_MS)
serve(w, kept)
reindex(w)
return 'ordered'
