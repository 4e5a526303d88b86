"""Several replicas of each service, each on a host of its own (a network namespace), behind a real load balancer."""
