"""Every model behind one door (`gateway.models.Models`): nodes name what they need, never a provider."""
