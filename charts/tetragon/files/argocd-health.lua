-- Health of a TracingPolicy or TracingPolicyNamespaced for Argo CD, which does not read kstatus.
-- It goes into the ConfigMap argocd-cm under resource.customizations.health.cilium.io_TracingPolicy and
-- resource.customizations.health.cilium.io_TracingPolicyNamespaced.

local function health(status, message)
  return {status = status, message = message}
end

local status = obj.status
if status == nil or status.conditions == nil then
  return health("Progressing", "the operator has not seen the policy yet")
end
if status.observedGeneration ~= obj.metadata.generation then
  return health("Progressing", "the operator has not seen this version of the policy yet")
end

local is = {}
for _, condition in ipairs(status.conditions) do
  is[condition.type] = condition
end
local function holds(kind)
  return is[kind] ~= nil and is[kind].status == "True"
end

-- What needs an edit or a repair: a policy with errors (its findings are what a person wants to read),
-- nodes that cannot run it, a rollout that was stopped.
if is.Accepted ~= nil and is.Accepted.status == "False" then
  return health("Degraded", is.Accepted.message)
end
if holds("Stalled") then
  return health("Degraded", is.Stalled.message)
end
if holds("Reconciling") then
  return health("Progressing", is.Reconciling.message)
end
if holds("Ready") then
  return health("Healthy", is.Ready.message)
end
return health("Progressing", is.Ready ~= nil and is.Ready.message or "")
