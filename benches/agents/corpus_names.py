"""The names that this project gives the browsers of uap-core and of Matomo."""

# Families of uap-core as this project names them.
FAMILIES = {
    "Chrome": "Chrome", "Chrome Mobile": "Chrome", "Chrome Mobile iOS": "Chrome", "Chromium": "Chromium",
    "Safari": "Safari", "Mobile Safari": "Safari", "Firefox": "Firefox", "Firefox Mobile": "Firefox",
    "Firefox iOS": "Firefox", "Firefox (Focus)": "Firefox Focus", "Edge": "Edge", "Edge Mobile": "Edge", "IE": "Internet Explorer",
    "IE Mobile": "Internet Explorer", "Opera": "Opera", "Opera Mobile": "Opera", "Opera Mini": "Opera Mini",
    "Samsung Internet": "Samsung Internet", "UC Browser": "UC Browser", "Yandex Browser": "Yandex Browser", "Vivaldi": "Vivaldi",
    "Brave": "Brave", "DuckDuckGo Mobile": "DuckDuckGo", "MiuiBrowser": "MIUI Browser", "QQ Browser": "QQ Browser",
    "QQ Browser Mobile": "QQ Browser", "Huawei Browser": "Huawei Browser", "Android": "Android Browser", "Silk": "Silk",
    "Amazon Silk": "Silk", "Whale": "Whale", "Maxthon": "Maxthon", "Konqueror": "Konqueror", "Puffin": "Puffin",
    "SeaMonkey": "SeaMonkey", "Pale Moon": "Pale Moon", "PaleMoon": "Pale Moon", "BlackBerry WebKit": "BlackBerry",
    "Coc Coc": "Coc Coc", "Iron": "Iron", "Sogou Explorer": "Sogou Explorer", "Epiphany": "Epiphany",
}

# Browsers of Matomo as this project names them.
MATOMO = {
    "Chrome Mobile": "Chrome", "Chrome Mobile iOS": "Chrome", "Mobile Safari": "Safari", "Firefox Mobile": "Firefox",
    "Firefox Mobile iOS": "Firefox", "Microsoft Edge": "Edge", "IE Mobile": "Internet Explorer", "Opera Mobile": "Opera",
    "Samsung Browser": "Samsung Internet", "Samsung Browser Lite": "Samsung Internet", "DuckDuckGo Privacy Browser": "DuckDuckGo",
    "Amazon Silk": "Silk", "Mobile Silk": "Silk", "Whale Browser": "Whale", "Huawei Browser Mobile": "Huawei Browser",
    "MIUI Browser": "MIUI Browser", "Yandex Browser": "Yandex Browser", "UC Browser": "UC Browser", "QQ Browser": "QQ Browser",
    "QQ Browser Lite": "QQ Browser",
} | {name: name for name in [
    "Chrome", "Safari", "Firefox", "Opera", "Opera Mini", "Internet Explorer", "Android Browser", "Vivaldi", "Brave",
    "Pale Moon", "SeaMonkey", "Konqueror", "Puffin", "Maxthon", "Firefox Focus", "Chromium",
]}
