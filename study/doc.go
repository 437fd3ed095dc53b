// Package study is the floor that replications stand on: scales, checks of configurations, work that is kept, found
// again and shared out in shards, and what turns measurements into claims. A paper's package is its science and little
// else.
//
// A paper has a Config, a flat struct whose zero value is the quick scale and which has, among its own settings,
//
//	Scale    string          `json:"scale"`
//	Dataset  string          `json:"dataset"`
//	Seeds    []int64         `json:"seeds"`
//	DataDir  string          `json:"-"`
//	Dir      string          `json:"-"` // finished work is kept here and found again
//	Shard    study.Shard     `json:"-"` // what to do of the work; zero: all
//	Progress report.Progress `json:"-"`
//
// and a Run that hands its work out in pieces:
//
//	w := study.NewWork(c.Dir, c.Shard, c.Progress)
//	for i, seed := range c.Seeds {
//		err := study.Do(w, &r.Models, study.Piece[Measured]{Name: ..., Key: ..., Group: i, Tasks: 2, Do: func() (Measured, error) { ... }})
//		...
//	}
//	return r, w.Finish()
package study
