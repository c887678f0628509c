package dashboard

import "html/template"

// icons are drawn on a square of 24 with a line of 2, round at its ends.
var icons = map[string]template.HTML{
	"leaf":     `<path d="M4 20C5 12 10 6 20 4c0 9-5 15-13 15-1.500 0-3 .2-3 1z"/><path d="M4 20c3-5 6-7.500 10-9.500"/>`,
	"home":     `<path d="M3 11.500 12 4l9 7.500"/><path d="M5.500 10v9.500h13V10"/><path d="M10 19.500v-5h4v5"/>`,
	"list":     `<path d="M9 6h11M9 12h11M9 18h11"/><path d="M4.500 6h.01M4.500 12h.01M4.500 18h.01"/>`,
	"coin":     `<circle cx="12" cy="12" r="8.500"/><path d="M14.800 9.200c-.6-.9-1.600-1.300-2.800-1.300-1.700 0-2.900.8-2.900 2.100 0 2.900 5.900 1.300 5.900 4.100 0 1.300-1.300 2.100-3 2.100-1.400 0-2.500-.5-3.100-1.500M12 6.300v1.600M12 16.200v1.600"/>`,
	"pulse":    `<path d="M3 12h4l2.500-6.500 5 13L17 12h4"/>`,
	"sliders":  `<path d="M4 7h9M17 7h3M4 17h3M11 17h9"/><circle cx="15" cy="7" r="2"/><circle cx="9" cy="17" r="2"/>`,
	"pause":    `<path d="M9 6v12M15 6v12"/>`,
	"play":     `<path d="M8 5.500v13l10-6.500z"/>`,
	"shield":   `<path d="M12 3.500 5 6v5.500c0 4.500 3 7.500 7 9 4-1.500 7-4.500 7-9V6z"/><path d="m9 12 2.200 2.200L15.200 10"/>`,
	"breach":   `<path d="M12 3.500 5 6v5.500c0 4.500 3 7.500 7 9 4-1.500 7-4.500 7-9V6z"/><path d="M12 8.500v4M12 16h.01"/>`,
	"alert":    `<path d="M12 4 2.800 19.500h18.400z"/><path d="M12 10v4M12 17h.01"/>`,
	"battery":  `<rect x="3" y="8" width="15" height="8.500" rx="2"/><path d="M21 11v2.500M6.500 11v2.500"/>`,
	"moon":     `<path d="M19.500 14.500A8 8 0 0 1 9.500 4.500a8 8 0 1 0 10 10z"/>`,
	"clock":    `<circle cx="12" cy="12" r="8.500"/><path d="M12 7.500V12l3 2"/>`,
	"gauge":    `<path d="M4.500 18a8.500 8.500 0 1 1 15 0"/><path d="m12 14 4-4.500"/>`,
	"cloud":    `<path d="M7 18a4 4 0 0 1-.5-7.970A5.500 5.500 0 0 1 17 9.500a4.300 4.300 0 0 1 0 8.500z"/><path d="m4 4 16 16"/>`,
	"pen":      `<path d="M4 20c4-.5 5-1 6.500-2.500L19.500 8.500l-4-4L6.500 13.500C5 15 4.500 16 4 20z"/><path d="m13 7 4 4"/>`,
	"check":    `<path d="m5 12.500 4.500 4.500L19 7.500"/>`,
	"ban":      `<circle cx="12" cy="12" r="8.500"/><path d="m6 6 12 12"/>`,
	"download": `<path d="M12 4v11M7 10.500l5 5 5-5M5 20h14"/>`,
	"trash":    `<path d="M5 7h14M10 7V4.500h4V7M7 7l.8 12.500h8.400L17 7M10.500 11v5M13.500 11v5"/>`,
	"link":     `<path d="M10 14a4 4 0 0 0 5.700 0l3-3A4 4 0 0 0 13 5.300l-1 1M14 10a4 4 0 0 0-5.700 0l-3 3a4 4 0 0 0 5.700 5.700l1-1"/>`,
	"up":       `<path d="M12 19V5M6 11l6-6 6 6"/>`,
	"down":     `<path d="M12 5v14M6 13l6 6 6-6"/>`,
	"more":     `<path d="m6 9.500 6 6 6-6"/>`,
	"left":     `<path d="m14.500 6-6 6 6 6"/>`,
	"right":    `<path d="m9.500 6 6 6-6 6"/>`,
	"car":      `<path d="M4 16V12l2-5.500h12L20 12v4M4 16h16M6 16v2.500M18 16v2.500"/>`,
	"house":    `<path d="M3 11.500 12 4l9 7.500M5.500 10v9.500h13V10"/>`,
}

// icon draws one; it says nothing to a screen reader, because the words beside it do.
func icon(name string) template.HTML {
	return `<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">` + icons[name] + `</svg>`
}
