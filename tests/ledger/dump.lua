-- Everything that a pool holds, for comparison. KEYS prefix; reply: rows of {type, name, member, value, ...}
local P, out = KEYS[1], {}
local function plain(value)
  if type(value) == 'number' then return string.format('%.17g', value) end
  return tostring(value)
end
for _, key in ipairs(redis.call('KEYS', string.gsub(P, '[%[%]*?\\]', '\\%0') .. '*')) do
  local name, kind = string.sub(key, #P + 1), redis.call('TYPE', key).ok
  if kind == 'zset' then
    local flat = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
    out[#out + 1] = { 'zset', name, unpack(flat) }
  elseif kind == 'set' then
    out[#out + 1] = { 'set', name, unpack(redis.call('SMEMBERS', key)) }
  elseif kind == 'hash' then
    local flat = redis.call('HGETALL', key)
    if name == 'r' then
      for i = 1, #flat, 2 do
        local row, r = { 'record', flat[i] }, cmsgpack.unpack(flat[i + 1])
        for field, value in pairs(r) do
          row[#row + 1] = field
          row[#row + 1] = field == 'exclude' and cjson.encode(#value > 0 and value or cjson.null) or plain(value)
        end
        out[#out + 1] = row
      end
    elseif string.sub(name, 1, 2) == 'w:' then
      local row = { 'worker', string.sub(name, 3) }
      for i = 1, #flat, 2 do
        local value = flat[i + 1]
        if flat[i] == 'serves' then
          local list = cmsgpack.unpack(value)
          value = cjson.encode(#list > 0 and list or cjson.null)
        end
        if flat[i] == 'suspects' then
          local texts = {}
          for id, since in pairs(cmsgpack.unpack(value)) do texts[id] = plain(since) end
          value = cjson.encode(texts)
        end
        row[#row + 1] = flat[i]
        row[#row + 1] = value
      end
      out[#out + 1] = row
    else
      out[#out + 1] = { 'hash', name, unpack(flat) }
    end
  else
    out[#out + 1] = { 'other', name, kind }
  end
end
return out
