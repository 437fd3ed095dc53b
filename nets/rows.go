package nets

// PickRows copies the given rows of a flat array, of size values each, in that order; a row may come twice. It panics
// where a row is out of range, as indexing does.
func PickRows[T any, I int | int32](flat []T, size int, rows []I) []T {
	picked := make([]T, 0, len(rows)*size)
	for _, r := range rows {
		at := int(r) * size
		picked = append(picked, flat[at:at+size:len(flat)]...)
	}
	return picked
}
