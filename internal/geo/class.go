package geo

// Class is the kind of line that an address belongs to.
type Class string

// The classes. Unknown is most of the Internet: only what a source says is taken for one of the others.
const (
	Unknown     Class = "unknown"
	Residential Class = "residential"
	Hosting     Class = "hosting"
)

// classOfTraits reads what GeoIP2 Enterprise and City say of a line (traits.user_type and traits.is_hosting_provider).
func classOfTraits(userType string, hosting bool) Class {
	switch userType {
	case "residential", "cellular", "dialup":
		return Residential
	case "hosting", "content_delivery_network", "search_engine_spider", "consumer_privacy_network":
		return Hosting
	}
	if hosting {
		return Hosting
	}
	return Unknown
}

// classOf is the class of a network as a whole, where no database says it of the address.
func classOf(asn uint32) Class {
	if class, known := networks[asn]; known {
		return class
	}
	return Unknown
}

// networks are well-known ones by their number. The names are those under which the regional registries list the numbers
// (June 2026); the class is our reading of what each sells, and a network that sells both in earnest is not here.
var networks = map[uint32]Class{
	// Networks of servers.
	6724:   Hosting, // Strato AG
	7203:   Hosting, // Leaseweb USA, Inc.
	8075:   Hosting, // Microsoft Corporation
	8560:   Hosting, // IONOS SE
	8972:   Hosting, // Host Europe GmbH
	8987:   Hosting, // Amazon Data Services Ireland Ltd
	9009:   Hosting, // M247 Europe SRL
	9123:   Hosting, // JSC "TIMEWEB"
	12876:  Hosting, // Scaleway SAS
	13335:  Hosting, // Cloudflare, Inc.
	14061:  Hosting, // DigitalOcean, LLC
	14618:  Hosting, // Amazon.com, Inc.
	16125:  Hosting, // UAB Cherry Servers
	16276:  Hosting, // OVH SAS
	16509:  Hosting, // Amazon.com, Inc.
	16625:  Hosting, // Akamai Technologies, Inc.
	18779:  Hosting, // EGIHosting
	19994:  Hosting, // Rackspace Hosting
	20473:  Hosting, // The Constant Company, LLC
	20773:  Hosting, // Host Europe GmbH
	20860:  Hosting, // IOMART CLOUD SERVICES LIMITED
	20940:  Hosting, // Akamai International B.V.
	21499:  Hosting, // Host Europe GmbH
	21859:  Hosting, // Zenlayer Inc
	22612:  Hosting, // Namecheap, Inc.
	24940:  Hosting, // Hetzner Online GmbH
	25369:  Hosting, // Hydra Communications Ltd
	25697:  Hosting, // UpCloud USA Inc
	25820:  Hosting, // IT7 Networks Inc
	26347:  Hosting, // New Dream Network, LLC
	26496:  Hosting, // GoDaddy.com, LLC
	28753:  Hosting, // Leaseweb Deutschland GmbH
	29222:  Hosting, // Infomaniak Network SA
	29802:  Hosting, // HIVELOCITY, Inc.
	30633:  Hosting, // Leaseweb USA, Inc.
	31034:  Hosting, // Aruba S.p.A.
	31898:  Hosting, // Oracle Corporation
	32097:  Hosting, // WholeSale Internet, Inc.
	33070:  Hosting, // Rackspace Hosting
	35540:  Hosting, // OVH SAS
	36007:  Hosting, // Kamatera, Inc.
	36351:  Hosting, // IBM Cloud
	36352:  Hosting, // HostPapa
	37963:  Hosting, // Hangzhou Alibaba Advertising Co.,Ltd.
	39351:  Hosting, // 31173 Services AB
	40021:  Hosting, // Contabo Inc.
	40509:  Hosting, // Fly.io, Inc.
	40676:  Hosting, // Psychz Networks
	42831:  Hosting, // UK Dedicated Servers Limited
	43350:  Hosting, // NForce Entertainment B.V.
	45090:  Hosting, // Shenzhen Tencent Computer Systems Company Limited
	45102:  Hosting, // Alibaba (US) Technology Co., Ltd.
	46606:  Hosting, // Unified Layer
	47583:  Hosting, // Hostinger International Limited
	49453:  Hosting, // Global Layer B.V.
	49505:  Hosting, // JSC Selectel
	49981:  Hosting, // WorldStream B.V.
	50673:  Hosting, // Serverius Holding B.V.
	51167:  Hosting, // Contabo GmbH
	53667:  Hosting, // FranTech Solutions
	53755:  Hosting, // Input Output Flood LLC
	54113:  Hosting, // Fastly, Inc.
	54290:  Hosting, // HostPapa
	54825:  Hosting, // Packet Host, Inc.
	55286:  Hosting, // B2 Net Solutions Inc.
	55990:  Hosting, // Huawei Cloud Service data center
	57043:  Hosting, // HOSTKEY B.V.
	60068:  Hosting, // Datacamp Limited
	60781:  Hosting, // LeaseWeb Netherlands B.V.
	61317:  Hosting, // Hivelocity Inc
	62240:  Hosting, // Clouvider Limited
	63473:  Hosting, // HostHatch, LLC
	63949:  Hosting, // Akamai Technologies, Inc.
	132203: Hosting, // Shenzhen Tencent Computer Systems Company Limited
	136907: Hosting, // HUAWEI INTERNATIONAL PTE. LTD.
	137718: Hosting, // Beijing Volcano Engine Technology Co., Ltd.
	150436: Hosting, // Byteplus Pte. Ltd.
	197540: Hosting, // netcup GmbH
	199524: Hosting, // G-Core Labs S.A.
	200350: Hosting, // Yandex.Cloud LLC
	202053: Hosting, // UpCloud Ltd
	202422: Hosting, // G-Core Labs S.A.
	212238: Hosting, // Datacamp Limited
	213230: Hosting, // Hetzner Online GmbH
	394380: Hosting, // Leaseweb USA, Inc.
	396982: Hosting, // Google LLC

	// Networks whose customers are homes and phones in the main. An office on such a line is not told apart.
	209:   Residential, // CenturyLink Communications, LLC
	577:   Residential, // Bell Canada
	701:   Residential, // Verizon Business
	812:   Residential, // Rogers Communications Canada Inc.
	852:   Residential, // TELUS Communications Inc.
	1136:  Residential, // KPN B.V.
	1221:  Residential, // Telstra Limited
	1257:  Residential, // Tele2 Sverige AB
	1267:  Residential, // WIND TRE S.P.A.
	1680:  Residential, // Cellcom Fixed Line Communication L.P
	1759:  Residential, // Telia Finland Oyj
	2119:  Residential, // Telenor Norge AS
	2516:  Residential, // KDDI CORPORATION
	2518:  Residential, // BIGLOBE Inc.
	2527:  Residential, // Sony Network Communications Inc.
	2856:  Residential, // British Telecommunications PLC
	2860:  Residential, // NOS COMUNICACOES, S.A.
	3209:  Residential, // Vodafone GmbH
	3215:  Residential, // Orange S.A.
	3243:  Residential, // MEO - SERVICOS DE COMUNICACOES E MULTIMEDIA S.A.
	3269:  Residential, // Telecom Italia S.p.A.
	3292:  Residential, // TDC Holding A/S
	3301:  Residential, // Telia Company AB
	3303:  Residential, // Swisscom (Schweiz) AG
	3320:  Residential, // Deutsche Telekom AG
	3352:  Residential, // TELEFONICA DE ESPANA S.A.U.
	3462:  Residential, // Chunghwa Telecom Co., Ltd.
	3816:  Residential, // COLOMBIA TELECOMUNICACIONES S.A. ESP
	4134:  Residential, // Chinanet
	4181:  Residential, // TDS TELECOM
	4713:  Residential, // NTT Communications Corporation
	4760:  Residential, // PCCW IMS Limited
	4766:  Residential, // Korea Telecom
	4771:  Residential, // Spark New Zealand Trading Limited
	4775:  Residential, // Globe Telecom (GMCR,INC)
	4788:  Residential, // TM TECHNOLOGY SERVICES SDN BHD
	4804:  Residential, // SingTel Optus Pty Ltd
	4808:  Residential, // China Unicom Beijing Province Network
	4812:  Residential, // China Telecom (Group)
	4837:  Residential, // CHINA UNICOM China169 Backbone
	5089:  Residential, // Virgin Media Limited
	5384:  Residential, // EMIRATES TELECOMMUNICATIONS GROUP COMPANY (ETISALAT GROUP) PJSC
	5410:  Residential, // Bouygues Telecom SA
	5432:  Residential, // Proximus NV
	5466:  Residential, // Eircom Limited
	5483:  Residential, // Magyar Telekom plc.
	5607:  Residential, // Sky UK Limited
	5610:  Residential, // O2 Czech Republic, a.s.
	5617:  Residential, // Orange Polska Spolka Akcyjna
	5650:  Residential, // Frontier Communications of America, Inc.
	5713:  Residential, // Telkom SA Ltd.
	5769:  Residential, // Videotron Ltee
	6057:  Residential, // Administracion Nacional de Telecomunicaciones
	6079:  Residential, // RCN
	6128:  Residential, // Cablevision Systems Corp.
	6147:  Residential, // Telefonica del Peru S.A.A.
	6167:  Residential, // Verizon Business
	6327:  Residential, // Shaw Communications
	6713:  Residential, // Itissalat Al-MAGHRIB
	6730:  Residential, // Sunrise GmbH
	6739:  Residential, // VODAFONE ONO, S.A.
	6799:  Residential, // Ote SA (Hellenic Telecommunications Organisation)
	6805:  Residential, // Telefonica Germany GmbH & Co.OHG
	6830:  Residential, // Liberty Global B.V.
	6848:  Residential, // Telenet BV
	6849:  Residential, // JSC "Ukrtelecom"
	7018:  Residential, // AT&T Enterprises, LLC
	7029:  Residential, // Windstream Communications LLC
	7303:  Residential, // Telecom Argentina S.A.
	7418:  Residential, // TELEFONICA CHILE S.A.
	7545:  Residential, // TPG Internet Pty Ltd
	7552:  Residential, // Viettel Group
	7713:  Residential, // Telekomunikasi Indonesia (PT)
	7738:  Residential, // V tal
	7922:  Residential, // Comcast Cable Communications, LLC
	8151:  Residential, // Uninet S.A. de C.V.
	8167:  Residential, // V tal
	8359:  Residential, // MTS PJSC
	8402:  Residential, // PJSC "Vimpelcom"
	8412:  Residential, // T-Mobile Austria GmbH
	8434:  Residential, // Telenor Sverige AB
	8447:  Residential, // A1 Telekom Austria AG
	8452:  Residential, // TE-AS
	8551:  Residential, // Bezeq International Ltd.
	8708:  Residential, // DIGI ROMANIA S.A.
	8881:  Residential, // 1&1 GmbH
	9050:  Residential, // Orange Romania S.A.
	9121:  Residential, // Turk Telekomunikasyon Anonim Sirketi
	9141:  Residential, // P4 Sp. z o.o.
	9158:  Residential, // Telenor A/S
	9198:  Residential, // JSC Kazakhtelecom
	9269:  Residential, // Hong Kong Broadband Network Limited
	9299:  Residential, // Philippine Long Distance Telephone Co.
	9318:  Residential, // SK Broadband Co Ltd
	9506:  Residential, // Singapore Telecommunications Ltd, Magix Services
	9644:  Residential, // SK Telecom
	9808:  Residential, // China Mobile
	9824:  Residential, // JCOM Co., Ltd.
	9829:  Residential, // Bharat Sanchar Nigam Ltd
	9924:  Residential, // Taiwan Fixed Network, Telco and Network Service Provider.
	10620: Residential, // Telmex Colombia S.A.
	10796: Residential, // Charter Communications Inc
	11351: Residential, // Charter Communications Inc
	11426: Residential, // Charter Communications Inc
	11427: Residential, // Charter Communications Inc
	11492: Residential, // CABLE ONE, INC.
	11830: Residential, // ICE (Costa Rica)
	12271: Residential, // Charter Communications Inc
	12322: Residential, // Free SAS
	12353: Residential, // Vodafone Portugal - Communicacoes Pessoais S.A.
	12389: Residential, // PJSC Rostelecom
	12400: Residential, // Partner Communications Ltd.
	12430: Residential, // VODAFONE ESPANA S.A.U.
	12479: Residential, // Orange Espagne SA
	12714: Residential, // PJSC MegaFon
	12741: Residential, // Netia SA
	12874: Residential, // Fastweb SpA
	13285: Residential, // TalkTalk Communications Limited
	13489: Residential, // EPM Telecomunicaciones S.A. E.S.P.
	13999: Residential, // Mega Cable, S.A. de C.V.
	15557: Residential, // Societe Francaise Du Radiotelephone - SFR SA
	15802: Residential, // Emirates Integrated Telecommunications Company PJSC
	15895: Residential, // "Kyivstar" PJSC
	16019: Residential, // Vodafone Czech Republic a.s.
	16086: Residential, // DNA Oyj
	16135: Residential, // TURKCELL ILETISIM HIZMETLERI A.S.
	16591: Residential, // Google Fiber Inc.
	16637: Residential, // MTN SA
	17511: Residential, // OPTAGE Inc.
	17552: Residential, // TRUE INTERNET CORPORATION CO. LTD.
	17557: Residential, // Pakistan Telecommuication company limited
	17676: Residential, // SoftBank Corp.
	17858: Residential, // LG POWERCOMM
	18403: Residential, // FPT Telecom Company
	18881: Residential, // TELEFONICA BRASIL S.A
	19108: Residential, // Suddenlink Communications
	19429: Residential, // ETB - Colombia
	20001: Residential, // Charter Communications Inc
	20115: Residential, // Charter Communications
	21928: Residential, // T-Mobile USA, Inc.
	22047: Residential, // VTR BANDA ANCHA S.A.
	22394: Residential, // Verizon Business
	22773: Residential, // Cox Communications Inc.
	22927: Residential, // Telefonica de Argentina
	23693: Residential, // PT. Telekomunikasi Selular
	24560: Residential, // Bharti Airtel Limited
	24835: Residential, // Vodafone Data - Egypt
	25019: Residential, // Saudi Telecom Company JSC
	26599: Residential, // TELEFONICA BRASIL S.A
	26615: Residential, // TIM S/A
	27699: Residential, // TELEFONICA BRASIL S.A
	28573: Residential, // Claro NXT Telecomunicacoes Ltda
	29975: Residential, // Vodacom
	30036: Residential, // Mediacom Communications Corp
	30722: Residential, // Vodafone Italia S.p.A.
	33363: Residential, // Charter Communications, Inc
	33771: Residential, // Safaricom Limited
	33915: Residential, // Vodafone Libertel B.V.
	34984: Residential, // Superonline Iletisim Hizmetleri A.S.
	35819: Residential, // Etihad Etisalat, a joint stock company
	36903: Residential, // Office National des Postes et Telecommunications ONPT (Maroc Telecom) / IAM
	36925: Residential, // MEDITELECOM
	36947: Residential, // Telecom Algeria
	36992: Residential, // ETISALAT MISR
	37168: Residential, // Cell C (Pty) Ltd
	37457: Residential, // Telkom SA Ltd.
	45609: Residential, // Bharti Airtel Limited
	45899: Residential, // VNPT Corp
	47331: Residential, // TTNet A.S.
	50266: Residential, // Odido Netherlands B.V.
	55836: Residential, // Reliance Jio Infocomm Limited
	56046: Residential, // China Mobile Communications Corporation
	58224: Residential, // Iran Telecommunication Company PJS
}
