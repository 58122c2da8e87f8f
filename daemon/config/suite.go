package config

// Suite holds the settings of the golden questions that are asked at night.
type Suite struct {
	// Questions is a file in the form of 'rxedge eval answers', whose lines may have
	// an "answer" too; "": none are asked.
	Questions string `toml:"questions"`
	// Hours of the day, in local time, in which they are; once a night.
	Hours Hours `toml:"hours"`
	// Ablation measures retrieval without vectors and without names too.
	Ablation bool `toml:"ablation"`
}

func (s *Suite) check() error {
	if s.Questions != "" && s.Hours == (Hours{}) {
		return wrong("suite.hours", "it is missing; name a span of the day such as 01:00-05:00, in which suite.questions are asked")
	}
	return nil
}
