-- Everything that a pool holds, for comparison. KEYS prefix; reply: rows of {type, name, member, value, ...}
local P, out = KEYS[1], {}
-- A row of two words and a list, which may be too long for unpack.
local function row(first, second, list)
  local all = { first, second }
  for _, item in ipairs(list) do all[#all + 1] = item end
  return all
end
local function plain(value)
  if type(value) == 'number' then return string.format('%.17g', value) end
  return tostring(value)
end
for _, key in ipairs(redis.call('KEYS', string.gsub(P, '[%[%]*?\\]', '\\%0') .. '*')) do
  local name, kind = string.sub(key, #P + 1), redis.call('TYPE', key).ok
  if kind == 'zset' then
    local flat = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
    out[#out + 1] = row('zset', name, flat)
  elseif kind == 'set' then
    out[#out + 1] = row('set', name, redis.call('SMEMBERS', key))
  elseif kind == 'hash' then
    local flat = redis.call('HGETALL', key)
    if name == 'r' then
      for i = 1, #flat, 2 do
        local rec, r = { 'record', flat[i] }, cmsgpack.unpack(flat[i + 1])
        for field, value in pairs(r) do
          rec[#rec + 1] = field
          rec[#rec + 1] = field == 'exclude' and cjson.encode(#value > 0 and value or cjson.null) or plain(value)
        end
        out[#out + 1] = rec
      end
    elseif string.sub(name, 1, 2) == 'w:' then
      local worker = { 'worker', string.sub(name, 3) }
      for i = 1, #flat, 2 do
        local value = flat[i + 1]
        if flat[i] == 'serves' then
          local list = cmsgpack.unpack(value)
          value = cjson.encode(#list > 0 and list or cjson.null)
        end
        if flat[i] == 'order' then value = cjson.encode(cmsgpack.unpack(value)) end
        if flat[i] == 'suspects' then
          local texts = {}
          for id, since in pairs(cmsgpack.unpack(value)) do texts[id] = plain(since) end
          value = cjson.encode(texts)
        end
        worker[#worker + 1] = flat[i]
        worker[#worker + 1] = value
      end
      out[#out + 1] = worker
    else
      out[#out + 1] = row('hash', name, flat)
    end
  else
    out[#out + 1] = { 'other', name, kind }
  end
end
return out
