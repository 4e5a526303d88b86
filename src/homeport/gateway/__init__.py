"""The gateway's routes and certificates, written as files that Traefik follows. Refuses to know how it is run."""
