"""Checks that a rendered chart with three replicas has what a fleet needs, and that one container has the given variables."""

import sys

import yaml

objects = {}
for document in yaml.safe_load_all(sys.stdin):
    if document:
        objects.setdefault(document["kind"], []).append(document)

for kind in ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "PersistentVolumeClaim"):
    assert kind not in objects, f"a {kind} is rendered"

deployment, config, policy = (objects[kind][0] for kind in ("Deployment", "ConfigMap", "NetworkPolicy"))
spec = deployment["spec"]
pod = spec["template"]["spec"]
container = pod["containers"][0]
assert spec["replicas"] == 3
assert spec["strategy"]["type"] == "RollingUpdate"
assert pod["automountServiceAccountToken"] is False
assert {one["topologyKey"] for one in pod["topologySpreadConstraints"]} == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}

selector = spec["selector"]
budget = objects["PodDisruptionBudget"][0]["spec"]
assert budget == {"maxUnavailable": 1, "selector": selector}, budget

# The order counts: a variable can only refer to one before it.
names = [one["name"] for one in container["env"]]
variables = config["data"] | {one["name"]: one.get("value", one.get("valueFrom")) for one in container["env"]}
assert names.index("POD_IP") < names.index("PULSE_FLEET_ADDRESS")
assert variables["POD_IP"] == {"fieldRef": {"fieldPath": "status.podIP"}}
assert variables["PULSE_FLEET_ADDRESS"] == "$(POD_IP)"
assert variables["PULSE_FLEET_LISTEN"] == "0.0.0.0:9091"
assert {"name": "fleet", "containerPort": 9091, "protocol": "TCP"} in container["ports"]
assert not any(port["targetPort"] == "fleet" for service in objects["Service"] for port in service["spec"]["ports"])
for variable in sys.argv[1:]:
    name, value = variable.split("=")
    assert variables.get(name) == value, f"{name} is {variables.get(name)}"
assert ("PULSE_FLEET" in variables) != ("PULSE_FLEET_FILE" in variables)

# A file that is named is mounted from the Secret.
mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
volumes = {volume["name"]: volume for volume in pod["volumes"]}
if "PULSE_FLEET_FILE" in variables:
    assert volumes[mounts["/run/secrets/fleet"]]["secret"]["items"] == [{"key": "url", "path": "url"}]
else:
    assert "/run/secrets/fleet" not in mounts

if "PULSE_FLEET_TLS_CERT" in variables:
    tls = volumes[mounts["/run/secrets/fleet-tls"]]["secret"]
    assert tls == {"secretName": "pulse-fleet-tls", "defaultMode": 0o440}, tls
else:
    assert "/run/secrets/fleet-tls" not in mounts

# Only pods of the release reach the port, and they may connect to each other and to the Redis server.
own_pods = [{"podSelector": selector}]
ingress = [rule["from"] for rule in policy["spec"]["ingress"] if {"port": "fleet", "protocol": "TCP"} in rule["ports"]]
assert ingress == [own_pods], ingress
egress = {port["port"]: rule.get("to") for rule in policy["spec"]["egress"] for port in rule["ports"]}
assert egress[9091] == own_pods
assert (6379 in egress) == ("PULSE_FLEET_FILE" in variables)
print(f"{', '.join(sys.argv[1:])}: ok")
