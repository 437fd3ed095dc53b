package datasets

// fashionMNIST is the set of Xiao, Rasul and Vollgraf, arXiv 1708.07747: MNIST's format, and names of its files.
func fashionMNIST() *source {
	gz := [4]string{
		"8d4fb7e6c68d591d4c3dfef9ec88bf0d", "25c81989df183df01b3e8a0aad5dffbe",
		"bef4ecab320f06d8554ea6380940ec79", "bb300cfdad3c16e7a12a480ee83cd310"}
	sizes := [4]int64{26421880, 29515, 4422102, 5148}
	s := &source{
		info: Info{
			Name:   "fashion-mnist",
			What:   "articles of clothing, 28x28 gray, 60,000 for training and 10,000 for testing",
			Source: "Zalando Research, arXiv 1708.07747",
		},
		folders: []string{"FashionMNIST/raw", "fashion"},
		load: func(dir string) (train, test *Set, err error) {
			return loadIDX("fashion-mnist", dir, gz, [4]string{}, []string{"T-shirt/top", "Trouser", "Pullover", "Dress",
				"Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"})
		},
	}
	for i, f := range idxFiles {
		s.remotes = append(s.remotes, remote{name: f + ".gz", md5: gz[i], size: sizes[i], urls: []string{
			"https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/" + f + ".gz",
			"http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/" + f + ".gz",
		}})
	}
	s.has = hasRemotes(s.remotes) // unpacked files have no published checksums
	return s
}
