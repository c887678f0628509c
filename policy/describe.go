package policy

// descriptions say in a line what a category holds, for those who decide about it. An owner who opens one lets strangers
// visit these sites from their address.
var descriptions = map[string]string{
	"ad-measurement": "Advertising and measurement: clicks and views that somebody pays for",
	"adult":          "Adult content",
	"banking":        "Banks, brokers and payment services",
	"cloud-metadata": "Names that lead to a cloud's secrets, or back into a home",
	"gambling":       "Gambling and betting",
	"government":     "Governments and their services",
	"health":         "Patient portals, insurers and pharmacies",
	"home-router":    "Names that routers and appliances answer inside homes",
	"mail":           "Mail, and the log-in to it",
	"military":       "Armed forces",
	"signup-sms":     "Sign-up, rented telephone numbers, throw-away addresses and solved CAPTCHAs",
	"tax":            "Tax filing",
	"ticketing":      "Tickets and limited editions",
	"tor-vpn-mining": "Tor, VPN and proxy services, and mining pools",
	"voting":         "Elections, petitions and polls",
}

// Describe says in a line what a category holds; empty for one that this program does not know.
func Describe(category string) string { return descriptions[category] }
