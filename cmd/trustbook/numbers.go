package main

// whole is a flag that takes a whole number of at least so many.
type whole struct {
	flag         string
	value, least int
}

// checkWhole refuses the first number that was given and cannot be meant. What was not given has a sound default, which
// may be stored as 0; a 0 that was typed must not become it.
func checkWhole(changed func(flag string) bool, all ...whole) error {
	for _, n := range all {
		if changed(n.flag) && n.value < n.least {
			return usagef("--%s %d: must be at least %d", n.flag, n.value, n.least)
		}
	}
	return nil
}
