package datasets

// OmniglotOptions adjusts the omniglot set.
type OmniglotOptions struct{}
