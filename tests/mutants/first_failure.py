"""A plugin of pytest for the runs of mutants: a property has failed once one example fails it.

Making that example small is for people; here nobody reads it, and it takes longer than finding it.
"""

from hypothesis import Phase, settings

settings.register_profile("first failure", settings(), phases=[Phase.explicit, Phase.reuse, Phase.generate])
settings.load_profile("first failure")
