"""Administration of a tenant and of the installation, one blueprint a resource, under /api/v1/admin."""
