"""Profile and host facts -> compiled policy; one module per invariant kind. Pure: nothing here touches the world."""
