"""The platform as inert data: services, jobs, values resolved late, and the graph that orders them. No I/O here."""
