-- Forward auth for HAProxy 2.6 or newer: the action `lua.postern` asks the outpost about a request before it reaches the application.
-- Let through is only what the outpost answers with 200, and only then txn.postern is "passed"; whatever goes wrong in here leaves it
-- unset, so haproxy.cfg denies every request without it. Its arguments are the outpost's address, and how many milliseconds it may take to answer.

-- What of the request the outpost needs to see.
local asked = { 'cookie', 'authorization', 'accept', 'user-agent', 'sec-fetch-mode', 'x-requested-with' }
-- What of a refusal, a redirect to the login for example, the browser gets.
local relayed = {
  'location', 'set-cookie', 'content-type', 'cache-control', 'retry-after', 'content-security-policy',
  'x-content-type-options', 'referrer-policy',
}

-- Applications take `_` for `-`, and some do so in names.
local function is_identity(name)
  return name:lower():gsub('_', '-'):sub(1, 12) == 'x-authentik-'
end

-- The Cookie header without the cookies of Postern; nil when none is left. In domain mode every application of the domain gets the
-- session cookie, which would open its neighbours to it.
local function own_cookies(header)
  local kept = {}
  for part in header:gmatch('[^;]+') do
    local cookie = part:match('^%s*(.-)%s*$')
    local name = cookie:match('^"?([^=%s]*)')
    local ours = name:sub(1, 16) == 'authentik_proxy_' or name == 'authentik_session'
      or name == 'authentik_csrf' or name == 'authentik_device'
    if cookie ~= '' and not ours then kept[#kept + 1] = cookie end
  end
  if #kept == 0 then return nil end
  return table.concat(kept, '; ')
end

-- All values of a header in one; HAProxy counts them from 0.
local function joined(values, separator)
  if values == nil then return nil end
  local all = {}
  for at = 0, #values do
    if values[at] ~= nil then all[#all + 1] = values[at] end
  end
  if #all == 0 then return nil end
  return table.concat(all, separator)
end

local function question(txn, headers)
  local scheme = txn.sf:ssl_fc() == '1' and 'https' or 'http'
  local host = joined(headers['host'], ', ') or ''
  local sent = {
    ['host'] = { host },
    ['x-forwarded-host'] = { host },
    ['x-forwarded-proto'] = { scheme },
    ['x-forwarded-uri'] = { txn.sf:pathq() },
    ['x-forwarded-for'] = { txn.sf:src() },
  }
  for _, name in ipairs(asked) do
    local value = joined(headers[name], name == 'cookie' and '; ' or ', ')
    if value ~= nil then sent[name] = { value } end
  end
  return sent
end

local function deny(txn, status, response)
  local reply = txn:reply({ status = status })
  if response ~= nil then
    for _, name in ipairs(relayed) do
      for _, value in pairs(response.headers[name] or {}) do reply:add_header(name, value) end
    end
    reply:set_body(response.body or '')
  end
  txn:done(reply)
end

-- Puts into the request what the outpost says about the user.
local function let_through(txn, headers, answer)
  local cookies = joined(headers['cookie'], '; ')
  if cookies ~= nil then
    local own = own_cookies(cookies)
    txn.http:req_del_header('cookie')
    if own ~= nil then txn.http:req_add_header('cookie', own) end
  end
  for name, values in pairs(answer.headers) do
    if is_identity(name) then
      txn.http:req_set_header(name, joined(values, ', ') or '')
    elseif name == 'authorization' then
      -- Empty: the credentials were for the outpost, and the application must not see them.
      local value = joined(values, ', ') or ''
      txn.http:req_del_header(name)
      if value ~= '' then txn.http:req_add_header(name, value) end
    end
  end
  -- A header that did not fit into HAProxy's buffer is not there: nobody rather than half of somebody.
  local now = txn.http:req_get_headers()
  for name in pairs(answer.headers) do
    if is_identity(name) and now[name] == nil then return deny(txn, 503) end
  end
  local set = answer.headers['set-cookie']
  if set ~= nil and set[0] ~= nil then txn:set_var('txn.postern_cookie', set[0]) end
  txn:set_var('txn.postern', 'passed')
end

core.register_action('postern', { 'http-req' }, function(txn, outpost, wait_ms)
  local headers = txn.http:req_get_headers()
  for name in pairs(headers) do
    if is_identity(name) then txn.http:req_del_header(name) end
  end
  local url = outpost .. '/outpost.goauthentik.io/auth/traefik'
  local answer = core.httpclient():get({ url = url, headers = question(txn, headers), timeout = tonumber(wait_ms) })
  local status = answer ~= nil and answer.status or 0
  if status == 200 then return let_through(txn, headers, answer) end
  if status == 302 or (status >= 400 and status <= 599) then return deny(txn, status, answer) end
  core.Alert('postern: no usable answer from the outpost, status ' .. tostring(status))
  deny(txn, 503)
end, 2)
