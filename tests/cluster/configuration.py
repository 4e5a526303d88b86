"""What each program of the node is started with and reads: addresses and paths in, texts out. Starts nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

NODE = "172.30.0.1"
PODS = "10.244.0.0/24"
SERVICES = "10.96.0.0/16"
API = "10.96.0.1"  # the first of the Services: kubernetes.default
PORT = 6443
NAMES = 8181  # where the name service says whether it is ready
PAUSE = "homeport.test/pause:1"
RUNTIME = "/run/containerd/containerd.sock"  # in the node's own /run
USERS = {
    "admin": ("admin", "system:masters"),
    "node": ("system:node:node", "system:nodes"),
    "controllers": ("system:kube-controller-manager", ""),
    "scheduler": ("system:kube-scheduler", ""),
    "proxy": ("system:kube-proxy", ""),
}
"""Who calls the API server: a file's name -> user and group. All of them are known by RBAC as it comes."""


@dataclass(frozen=True)
class Places:
    """Where the node's files are."""

    scratch: Path
    binaries: Path
    plugins: Path
    cgroup: str

    @property
    def kubernetes(self) -> str:
        """The program that is all programs."""
        return str(self.binaries / "kubernetes")

    def file(self, name: str) -> str:
        """The path of one file of the node's."""
        return str(self.scratch / name)

    def config(self, user: str) -> str:
        """The path of a user's kubeconfig."""
        return self.file(f"{user}.kubeconfig")


def commands(at: Places) -> dict[str, list[str]]:
    """Each program's command, in the order they are started; the first three serve the others."""
    return {
        "etcd": [
            at.kubernetes, "etcd", f"--data-dir={at.file('etcd')}", "--unsafe-no-fsync", "--log-level=warn",
            "--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379",
            "--listen-peer-urls=http://127.0.0.1:2380",
        ],
        "containerd": ["containerd", f"--config={at.file('containerd.toml')}"],
        "kube-apiserver": [
            at.kubernetes, "kube-apiserver", "--etcd-servers=http://127.0.0.1:2379", f"--advertise-address={NODE}",
            f"--secure-port={PORT}", f"--tls-cert-file={at.file('apiserver.crt')}",
            f"--tls-private-key-file={at.file('apiserver.key')}", f"--client-ca-file={at.file('ca.crt')}",
            f"--token-auth-file={at.file('tokens.csv')}", "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction", f"--service-cluster-ip-range={SERVICES}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={at.file('accounts.pub')}",
            f"--service-account-signing-key-file={at.file('accounts.key')}",
            f"--kubelet-client-certificate={at.file('kubelet-client.crt')}",
            f"--kubelet-client-key={at.file('kubelet-client.key')}", "--kubelet-preferred-address-types=InternalIP",
        ],
        "kube-controller-manager": [
            at.kubernetes, "kube-controller-manager", f"--kubeconfig={at.config('controllers')}",
            "--leader-elect=false", "--use-service-account-credentials",
            f"--service-account-private-key-file={at.file('accounts.key')}",
            f"--root-ca-file={at.file('ca.crt')}",
        ],
        "kube-scheduler": [
            at.kubernetes, "kube-scheduler", f"--kubeconfig={at.config('scheduler')}", "--leader-elect=false",
        ],
        "kube-proxy": [at.kubernetes, "kube-proxy", f"--config={at.file('proxy.yaml')}"],
        "coredns": [str(at.binaries / "dns"), f"-conf={at.file('Corefile')}"],
        "kubelet": [
            at.kubernetes, "kubelet", f"--config={at.file('kubelet.yaml')}", f"--kubeconfig={at.config('node')}",
            f"--node-ip={NODE}", "--hostname-override=node",
        ],
    }  # fmt: skip


def files(at: Places, tokens: Mapping[str, str]) -> dict[str, str]:
    """Every file the programs read, beside keys and certificates: name -> text. `tokens`: one of each of USERS."""
    server = f"https://{NODE}:{PORT}"
    return {
        "resolv.conf": f"nameserver {NODE}\nsearch default.svc.cluster.local svc.cluster.local cluster.local\n",
        "upstream.conf": "",
        "tokens.csv": "".join(f'{tokens[name]},{user},{name},"{group}"\n' for name, (user, group) in USERS.items()),
        "containerd.toml": _CONTAINERD.format(
            root=at.file("containerd"), plugins=at.plugins, network=at.file("network"), pause=PAUSE, runtime=RUNTIME
        ),
        "network/pods.conflist": json.dumps({
            "cniVersion": "1.0.0",
            "name": "pods",
            "plugins": [{
                "type": "ptp",
                "ipam": {"type": "host-local", "ranges": [[{"subnet": PODS}]], "routes": [{"dst": "0.0.0.0/0"}]},
            }],
        }),
        "Corefile": _COREFILE.format(address=NODE, port=NAMES, kubeconfig=at.config("admin")),
        "kubelet.yaml": json.dumps(_kubelet(at)),
        "proxy.yaml": json.dumps({
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "hostnameOverride": "node",
            "clusterCIDR": PODS,
            "clientConnection": {"kubeconfig": at.config("proxy")},
            # The kernel's table of connections belongs to the machine, not to the node.
            "conntrack": {"maxPerCore": 0, "min": 0},
        }),
        **{f"{user}.kubeconfig": kubeconfig(server, at.file("ca.crt"), tokens[user]) for user in USERS},
    }  # fmt: skip


def kubeconfig(server: str, authority: str, token: str) -> str:
    """What a client reads to reach the API server."""
    return json.dumps({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": server, "certificate-authority": authority}}],
        "users": [{"name": "test", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    })  # fmt: skip


def _kubelet(at: Places) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": at.file("ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": f"unix://{RUNTIME}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{at.cgroup}",
        "failCgroupV1": False,  # the machines that run this may have either
        "failSwapOn": False,
        "clusterDNS": [NODE],
        "clusterDomain": "cluster.local",
        "resolvConf": at.file("upstream.conf"),
        "volumePluginDir": at.file("volume-plugins"),
        # Images cannot be pulled again, and the machine's disk is not the node's alone: never make room.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
    }


def volumes(directory: Path, count: int) -> list[dict[str, object]]:
    """A default StorageClass, and so many volumes for it: directories on the node, bound when a pod wants them."""
    storage: dict[str, object] = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "local", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": ["node"]}
    return [storage] + [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": f"local-{number}"},
            "spec": {
                "storageClassName": "local",
                "capacity": {"storage": "20Gi"},
                "accessModes": ["ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Retain",
                "local": {"path": str(directory / str(number))},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
            },
        }
        for number in range(count)
    ]


_CONTAINERD = """\
version = 2
root = "{root}"
state = "/run/containerd"

[grpc]
  address = "{runtime}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  # A root without every capability may not make a process less likely to be ended than itself.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{network}"
"""

_COREFILE = """\
. {{
    bind {address}
    errors
    ready {address}:{port}
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {kubeconfig}
    }}
    cache 5
}}
"""
