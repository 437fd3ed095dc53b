// Package scan finds the subset of samples and of nodes whose activations are least like those of a background, by
// non-parametric subset scanning: no model of the activations is assumed, and nothing is trained. It knows nothing of
// networks: nodes are columns, whatever they measure.
//
// Papers: Cintas et al., Towards creativity characterization of generative models via group-based subset scanning
// (arXiv 2104.00479); McFowland, Speakman, Neill, Fast generalized subset scan for anomalous pattern detection (JMLR 2013).
//
//	background, err := scan.NewBackground(normal) // [samples][nodes]
//	ranks, err := background.Ranks(activations, scan.Two)
//	singles, err := scan.Singles(ranks, scan.Options{}) // of each sample, its least likely nodes
//	group, climbs, err := scan.Group(ranks, scan.Options{Score: scan.BerkJones})
//	fmt.Println(group.Score, group.Rows, group.Nodes)
//
// Each activation becomes an empirical p-value against its node's background. Were the samples like the background, a share α of
// the p-values in any subset would be at most α; a subset scores by how many more there are, at the α up to [Options.AlphaMax] where
// that tells most. All values of α that occur are tried.
package scan
