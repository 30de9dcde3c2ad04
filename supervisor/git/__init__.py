"""Git: discovery by reading files, and the only place that runs it, in a neutral environment, hooks off."""
