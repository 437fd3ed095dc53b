// Package manifold tells how far inputs are from what a training set fills of the space of images: by the flat piece that
// fits the nearest training points ([Tangent]), by the distance to those ([KNN]), and by the difference between two sets of
// features as wholes ([Frechet]).
//
//	surface, err := manifold.Tangent{}.Fit(eng, train)
//	clean, err := surface.Distances(images)
//	moved, err := surface.Distances(adversarial) // less clean: by how much an attack left the data
//
// Rows of a tensor [n, ...], float32 or float64, are points, whatever their axes. All is computed in float64: nearest points
// by one matrix product a batch on the engine, what small differences decide on the host. A training set is kept there as 8
// bytes a value. Values that are not finite are refused by name. Results of one engine are the same bits each time.
package manifold
