-- Health of a TetragonNode for Argo CD. It goes into the ConfigMap argocd-cm under
-- resource.customizations.health.tetragon-rs.dev_TetragonNode.

local function health(status, message)
  return {status = status, message = message}
end

local status = obj.status
if status == nil or status.conditions == nil then
  return health("Progressing", "the agent has not reported yet")
end
for _, condition in ipairs(status.conditions) do
  if condition.type == "Ready" and condition.status ~= "True" then
    -- An agent that was told to stop is back soon, as a rule: a rolling update looks like this.
    if condition.reason == "AgentStopped" then
      return health("Suspended", condition.message)
    end
    return health("Degraded", condition.message)
  end
end
local counts = status.policyCounts
if counts ~= nil and (counts.failed or 0) > 0 then
  return health("Degraded", counts.failed .. " of " .. counts.wanted .. " policies cannot be loaded")
end
if counts ~= nil and (counts.loaded or 0) < (counts.wanted or 0) then
  return health("Progressing", counts.summary .. " policies are loaded")
end
return health("Healthy", counts ~= nil and counts.summary ~= nil and counts.summary .. " policies are loaded" or "")
