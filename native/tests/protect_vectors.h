/* protect_vectors.h: packets sealed by aioquic 1.7.2.
 *
 * Initialisers of an array, written by tools/gen_protect_vectors.py. */
/* clang-format off */
	{
		.name = "AES_128_GCM_SHA256 VERSION_1 0",
		.suite = 0x1301,
		.version = 0x00000001,
		.updates = 0,
		.one_rtt = true,
		.pn = 0u,
		.pn_len_bytes = 1,
		.secret = "1130e36ffffd70b78130f7cc132dc22f65b51e6325ea7e55b788d5f15facaa98",
		.header = "40b97caedbeee9cc9f00",
		.payload = "126daf",
		.packet = "58b97caedbeee9cc9f5f13c576c3feb4490828d8fdd618100968ba9b34",
	},
	{
		.name = "AES_128_GCM_SHA256 VERSION_1 1",
		.suite = 0x1301,
		.version = 0x00000001,
		.updates = 0,
		.one_rtt = false,
		.pn = 7u,
		.pn_len_bytes = 2,
		.secret = "5fe5612aa6f6dde09c4d41d9b7b3ebd7a786b76e906ec95827b47b7c4679d085",
		.header = "d1b97caedbeee9cc9fee8cc00007",
		.payload = "b6d59f505ce69dacc881bfd682cec71511e4e0731cc9f0d23789aaa4cac2a23a"
			  "9a",
		.packet = "d7b97caedbeee9cc9fee8cc0d666f01f7a66098a7870741396192c54a84873d5"
			  "97a14dccea36395d244bf538a450a6ef931aee7b7cef07cc6928bd420cb324",
	},
	{
		.name = "AES_128_GCM_SHA256 VERSION_1 2",
		.suite = 0x1301,
		.version = 0x00000001,
		.updates = 1,
		.one_rtt = true,
		.pn = 2882343476u,
		.pn_len_bytes = 3,
		.secret = "5a7c9907fdd93649d8b6ea6f049073622c950d8302d8607a1c298c1fe23c8b0e",
		.header = "46cd1234",
		.payload = "799ce4960c07921f6ed5baef1d2a9215",
		.packet = "5652f0a02450392a6b6170164c733f6cb2ecec8586ee498469be5310ec952390"
			  "4aa4aeb3",
	},
	{
		.name = "AES_128_GCM_SHA256 VERSION_1 3",
		.suite = 0x1301,
		.version = 0x00000001,
		.updates = 2,
		.one_rtt = true,
		.pn = 4611686018427387903u,
		.pn_len_bytes = 4,
		.secret = "6091214b1022242badd0e31712bb484796fcdb73e9d10e2fbfb15f15575f252b",
		.header = "43b97caedbeee9cc9fee8cc0e82d15f9b2f49f1f01ffffffff",
		.payload = "d4ae33172085d66fcb3e9adfa9773a02688facb7c9460e1707f55a5165b2cfb0"
			  "91e3e2edfa58707a3fb514cdfbe0db16e873bbffe4aed8a59d50c02e1233172b"
			  "551252c17b90494689826322f2cbf46d03962c251fdc986885d64ac353a1b1dc"
			  "509561971b933bc28132df4615067e34a01e395047a1b5b059b5757ac8dc3119"
			  "2323de96ffbada44415dc04e5a61e35f702f542d391d962b13914174925fcdfc"
			  "2305746cdec14a89c2bdef331452c6723df32aec740ee4c47d27fe52dee93287"
			  "aadb8dbf09e9e4b1733461f6061c7df6d474ed954c4f83698e6c22ab5d5f58f3"
			  "f6f4d0776f0d010651e375c8c9db405f5fdd720a57058341f1d2ddb806cb417a"
			  "79",
		.packet = "5cb97caedbeee9cc9fee8cc0e82d15f9b2f49f1f0104ca73ca70f421bfee6ddd"
			  "60137243a59af209bab8cf4cd1457b4583ae88963c1c1cfc72cc8847013b2349"
			  "9fa880c1b76deed78fa84100d6f4243b4f22d0547d248de7f422a89109d03c9b"
			  "109dacee81d525ce055458ddc2c3421963340d5974983cf5de439288504504f4"
			  "d78458425f2a20e0c19428393a08e685a59bcf2edc4cca716f7399a11e198966"
			  "4a29bbee18a0398ee0089ba1d625b04d75d04f121c30655965a07c07f7c42dee"
			  "e94c2efd98487cbccf8187af2e7aecd5a81026dea46d22e632f86b3807f432dd"
			  "dafb0d3b1c7e37b4f725c4bc16baf963847e9fb1a849451c124aaae052a998f8"
			  "4a7c9cb621eca01fb73b42be3f7eec27e398d84158bf11c0c4858f7dc29881a0"
			  "622f94815d2abb3800c5",
	},
	{
		.name = "AES_128_GCM_SHA256 VERSION_2 0",
		.suite = 0x1301,
		.version = 0x6b3343cf,
		.updates = 0,
		.one_rtt = true,
		.pn = 0u,
		.pn_len_bytes = 1,
		.secret = "cab43d474b2b813b1f4be7fc2d3e6004f5d3ed19e43f377ffba4917f06f524d6",
		.header = "40b97caedbeee9cc9f00",
		.payload = "5d4915",
		.packet = "47b97caedbeee9cc9f4174af7530ed2d0f50887daad13ebe20d7293d7c",
	},
	{
		.name = "AES_128_GCM_SHA256 VERSION_2 1",
		.suite = 0x1301,
		.version = 0x6b3343cf,
		.updates = 0,
		.one_rtt = false,
		.pn = 7u,
		.pn_len_bytes = 2,
		.secret = "ca23cfb2d1454265cf7f3e3c4d476bae65edcf8dd92582b9f94f8b0db1efc34a",
		.header = "d1b97caedbeee9cc9fee8cc00007",
		.payload = "2a9e0ee770e5f547915708631b4695412087c327639369da52937c67f6127828"
			  "63",
		.packet = "deb97caedbeee9cc9fee8cc03c5f6a4249b9fbbf7af5a3007c5db96f854e8673"
			  "8bb03c5e4291464bc4803ca5726df5f0bf4a72165eefca1da93800fae798c2",
	},
	{
		.name = "AES_128_GCM_SHA256 VERSION_2 2",
		.suite = 0x1301,
		.version = 0x6b3343cf,
		.updates = 1,
		.one_rtt = true,
		.pn = 2882343476u,
		.pn_len_bytes = 3,
		.secret = "dd2af4cdb84bab504a076552d8da70bfa6ba292de6974b85574f4ca53aea8cc7",
		.header = "46cd1234",
		.payload = "9bd4023d44a3366f72a1372b0c6107cc",
		.packet = "54cb326c1a60c57de0569857bc315c0249c8dc5edaa6fa442eb944b434d5fac3"
			  "11534a4f",
	},
	{
		.name = "AES_128_GCM_SHA256 VERSION_2 3",
		.suite = 0x1301,
		.version = 0x6b3343cf,
		.updates = 2,
		.one_rtt = true,
		.pn = 4611686018427387903u,
		.pn_len_bytes = 4,
		.secret = "362562ce36f972791a7dda8731a8655d735f63df108376c5351c15069bf10ea1",
		.header = "43b97caedbeee9cc9fee8cc0e82d15f9b2f49f1f01ffffffff",
		.payload = "5c61caba38b779c33071ca6f77af9e8be4b98ec1e088b808de7669dcc649d82d"
			  "832a50a56063adba4a0a6092395c129fa21688039e82f0b097bad504a6f1aee6"
			  "0450c71a4803fcd6482b56d4f577df2384adf7f6e3cbeca782471b61a1a948f1"
			  "d8cc2afd9419c84087d23c49546e3f98efcb80ea41802be3498c1ec8d612fab0"
			  "6b546a5aa00b7c03788c82356c91b1c9c904cf6b0bea68f7d0f9bb89ad74e9e1"
			  "5c572c67f4f4aa1814c5a437155ece346b6754b984f0a755959c3ad00640bf3f"
			  "a49a21f9660a31ff947715d0f10d4abf55ee82d4cfb904f936468e73907a2b48"
			  "b81c59c538db2bb476636be192ea66e89527975ff525f262a22976a691235da1"
			  "be",
		.packet = "51b97caedbeee9cc9fee8cc0e82d15f9b2f49f1f01c571430d1b0aab2fe12eab"
			  "a8604f26d2aed92fe077b1e816296857b4a2d922003fd6f8f42f5ca989379134"
			  "38a0a25cefbcdb2db58fc0dfeca967a02b3d389fddbd42afa491af12878fc569"
			  "4cca2411acc6b7e22616416b3c920d5e893f8dc06a308dfd3b858e7f8415ff37"
			  "18678cf70dc443dea71895ff7e2cf47160fb8360f6061ac14c162e4166f7448f"
			  "bdfcbe550a66f669466f1d63e31f58125ff3a853d9f9253cc3c471f80fbcf71f"
			  "5568579172abdb65fbcfdea81743531cb8cc5cac6c93b5c2352fea46dd76f03f"
			  "2d7cb77a1e032fe1f9139a8a8f71739f06b5e6d5c0018d616ad8864850ac1dfb"
			  "1ad680f841fdbe17bedb77f70069850ceaa6f2c4bfa17c9e31e70acb45c43a4e"
			  "a46e557db472c4e3170e",
	},
	{
		.name = "AES_256_GCM_SHA384 VERSION_1 0",
		.suite = 0x1302,
		.version = 0x00000001,
		.updates = 0,
		.one_rtt = true,
		.pn = 0u,
		.pn_len_bytes = 1,
		.secret = "e9bc5fe97e2995857434af671a6eb37ab62bc0c043d83381198e8932b3f60bde"
			  "904f2257937f764f76a3fa70d85b8cd9",
		.header = "40b97caedbeee9cc9f00",
		.payload = "9cf70c",
		.packet = "46b97caedbeee9cc9f363d54639e152fc8c69f8e527c5100f0a4aebb1c",
	},
	{
		.name = "AES_256_GCM_SHA384 VERSION_1 1",
		.suite = 0x1302,
		.version = 0x00000001,
		.updates = 0,
		.one_rtt = false,
		.pn = 7u,
		.pn_len_bytes = 2,
		.secret = "56c8e190d6aa363697d541bd3e3f3526685879fdbdae2a4934fe7ce391c8f936"
			  "9e530d1d5cc8ad1c09586187432bdc3d",
		.header = "d1b97caedbeee9cc9fee8cc00007",
		.payload = "90ce3c240d7bfd0fc0183d566fd1571fdab845001a89c76e9401662c5d17715f"
			  "fe",
		.packet = "deb97caedbeee9cc9fee8cc0fc8d8b3f2a99c342ffbacc7d957e2a5f456d3847"
			  "77cc9169d931f6a307c612ce6b1948bba2f7128083598ff3647d399b1a3dd7",
	},
	{
		.name = "AES_256_GCM_SHA384 VERSION_1 2",
		.suite = 0x1302,
		.version = 0x00000001,
		.updates = 1,
		.one_rtt = true,
		.pn = 2882343476u,
		.pn_len_bytes = 3,
		.secret = "c7f4f13bc3611afed3a8caf1811ecd9ca839eefde0586059519505a0a09de1d3"
			  "5a7b81c04656d3e67f0d83cb298c75b0",
		.header = "46cd1234",
		.payload = "e76a7e2bef2247c3905314607dc86176",
		.packet = "489d36db95b8d91295663fc91c187109662c191408a5938d4dbdfbc21444d0e4"
			  "462e6882",
	},
	{
		.name = "AES_256_GCM_SHA384 VERSION_1 3",
		.suite = 0x1302,
		.version = 0x00000001,
		.updates = 2,
		.one_rtt = true,
		.pn = 4611686018427387903u,
		.pn_len_bytes = 4,
		.secret = "f070321df4c20768b1616b172b87a2cd6f93934dc440c1ef801b7ef4f7a6cfca"
			  "61826d17c229ce54751526b9ad01a0fe",
		.header = "43b97caedbeee9cc9fee8cc0e82d15f9b2f49f1f01ffffffff",
		.payload = "e2c10c7b518beb01d06ccdbd9d4118673393b3858279929a63ae677539323a31"
			  "8c4d01478e6ee03212b10c5f2fcc85b4bfb7cddffdc2228b6a2b970a4f243a6c"
			  "1ce493a86ebcd25d10467cfc05fe6fd88103b4c44119a498c21396418119826a"
			  "daa57f5519a4ecc7848fd9f4877ae5b1d0b014f54f3b3caedc9b1115a8b5c54d"
			  "fcb8f1b5a07528ef8683082c1cf25db8f7a3715543bd45bba74407c44ac4757b"
			  "18d8c81358cc379c377d70070ce11f65abb004df5e403f9158f4e9e5c869da66"
			  "f1306f7fd3d4bcafb54b2daaa9df8775bab136581bc77f999f70fd43b6fc360f"
			  "307d219297fec56b22efa0125982288f749ea573bb5b0480b72c316a4c5637ac"
			  "6c",
		.packet = "4eb97caedbeee9cc9fee8cc0e82d15f9b2f49f1f01ead7afc19be311adc3e4d9"
			  "0c94d2051a96a30e54d230d00505b164ee34e0f847934bc8f9237d98715e136c"
			  "5e10fe6d240a546186bf7bd449fc9381fdeaaf5fabeab7fb895d7130c8585323"
			  "03fc2f9a428912e11eb5f944de633143b04b78e28429e376f6bfbed099e013d7"
			  "6764e0c1b4ffc4a574ecc140ffe440594640c6ca850a48dfcb3b4ad7d0597215"
			  "c6d05565d7bd2bf8576e96e5404c11d9de407a86f8192393b6f2c085361f165c"
			  "38eced5caf10d3914a98e68c908df62321d872fbb0d9284122299017ac46b938"
			  "760b09d6d9a0109ec2fa2ae45778e8ccd979e7952a6fc55caf51588436953057"
			  "71dc9eba47c18caf0dffec8a92052a44d56c0f0da725702253a36aa739861c20"
			  "1a1593390764f1f94c01",
	},
	{
		.name = "AES_256_GCM_SHA384 VERSION_2 0",
		.suite = 0x1302,
		.version = 0x6b3343cf,
		.updates = 0,
		.one_rtt = true,
		.pn = 0u,
		.pn_len_bytes = 1,
		.secret = "20e1f6ab393a331502d5254e475d610209bfc7477a055a2bb740920000992c69"
			  "58f8c695d083e6a6439b0c1721c46a2d",
		.header = "40b97caedbeee9cc9f00",
		.payload = "13981a",
		.packet = "4eb97caedbeee9cc9fcc07ec4a9693a396d7a24df27e4e07fb90d10cdc",
	},
	{
		.name = "AES_256_GCM_SHA384 VERSION_2 1",
		.suite = 0x1302,
		.version = 0x6b3343cf,
		.updates = 0,
		.one_rtt = false,
		.pn = 7u,
		.pn_len_bytes = 2,
		.secret = "e1855b12d5886854a2c9479d2869734de4a3e1289277031a8587e27b0002c576"
			  "6f45312b37d3226cb332c85a5b10abaf",
		.header = "d1b97caedbeee9cc9fee8cc00007",
		.payload = "10d0de5188849224328728ff97ff52a21ab7e53833c11e05a13ae48f02edb0d6"
			  "29",
		.packet = "d4b97caedbeee9cc9fee8cc026b90c404a6fb51eec2dcb016699db0deeb597b8"
			  "f7920bfc9bd46f90c541c2ad253280bee60906f25a2ee7a097f453b50e205f",
	},
	{
		.name = "AES_256_GCM_SHA384 VERSION_2 2",
		.suite = 0x1302,
		.version = 0x6b3343cf,
		.updates = 1,
		.one_rtt = true,
		.pn = 2882343476u,
		.pn_len_bytes = 3,
		.secret = "06b1d062d19e58950224125e91968be0a3d678ba3f50d1da3207c523bb280f65"
			  "fcce9c8b1ee6a0aa9001f5d2a75ce348",
		.header = "46cd1234",
		.payload = "c7431b4abb8b6d618de63dc0c2d6113f",
		.packet = "57e489477f05a93452de85b00b6cf3f3ba771925fa7ebb459efc1609e54fac11"
			  "f9bd86f2",
	},
	{
		.name = "AES_256_GCM_SHA384 VERSION_2 3",
		.suite = 0x1302,
		.version = 0x6b3343cf,
		.updates = 2,
		.one_rtt = true,
		.pn = 4611686018427387903u,
		.pn_len_bytes = 4,
		.secret = "855f460fdfd23c48040ec286ff02c33775fcf821b4247526526c1febfbe97fad"
			  "6ac308dae7f8393a72a70c668b621a90",
		.header = "43b97caedbeee9cc9fee8cc0e82d15f9b2f49f1f01ffffffff",
		.payload = "8261348e2651d07ee1ab9ea76264f60398ca3faf5599ebf094ff4bfe92b0a899"
			  "a9d85ab7e9140154079260e482800f6565e63235a34a8003116c98ddb938141e"
			  "6fb377ee7168d4c98848d25badc27cc4a9e2fc56ef14288323feb9fd1a90acc6"
			  "809725c7929074ee093f61a35e212a8a31de6b1cbb7bb44a8ec16c0a2364e7a7"
			  "64caa49b88995f43e11de70306905bbf1e40dc32f4493c63ac6db9a872ab9579"
			  "3a515bb5afb5110c9629065355d827496a2ad047fc15f82faeb6608256eac123"
			  "88ee1579e45b454f4e24a7765377c749e29ba476782ec5f3dede307b7478ccb5"
			  "156b2e70aa34978d684bd8b74f3799253ea600238bb8fd902159f203512bac81"
			  "96",
		.packet = "4ab97caedbeee9cc9fee8cc0e82d15f9b2f49f1f018d416ee9c12c6b7d581c5e"
			  "4a9892cf1410958ab0d17fe91fab37f6b1148c04ed20aa467e19a34df221c6bc"
			  "a46b2a684f64eb766167a5e1621e101010fc5f05565f91c0f9348e1132b373e4"
			  "53733fd3564415d0d71812267bc0be5783d92f7df782bfe10f65e02c6fd7ef7a"
			  "049576ac09c36d79afa4a11058869394d5318b1c6bbed9918f99e30cd5a4ec11"
			  "7eab9223e4d8763c0ee6f687a1f5f9c3a26717f2f35b0f8824937fed7296eae3"
			  "9b88bc46a2690bb3948ce808e0d4a6a2aab25b5abbb7a90618d5e6c745443c56"
			  "91a93c7d48ccd3e279bb076c3039c2b0a0c0d24f8ccc66d8b5d5a78241b0dc2e"
			  "b479728cb03732dafd3b5f975f1ee151796dfd4d154bdfcbc8a7e4a796251b45"
			  "e2cb2a53d6640101f659",
	},
	{
		.name = "CHACHA20_POLY1305_SHA256 VERSION_1 0",
		.suite = 0x1303,
		.version = 0x00000001,
		.updates = 0,
		.one_rtt = true,
		.pn = 0u,
		.pn_len_bytes = 1,
		.secret = "3949cfb02130f57b6c732a63a4fee4fc8844903faf2db7b1494905c814d62a65",
		.header = "40b97caedbeee9cc9f00",
		.payload = "3199c1",
		.packet = "4fb97caedbeee9cc9fc074b4e80c6b8eecacb895023da7917232cb1110",
	},
	{
		.name = "CHACHA20_POLY1305_SHA256 VERSION_1 1",
		.suite = 0x1303,
		.version = 0x00000001,
		.updates = 0,
		.one_rtt = false,
		.pn = 7u,
		.pn_len_bytes = 2,
		.secret = "80cf1965450badf3772a6278b3a815ef0e557c9e64faa5e75fde4ef74cb927f1",
		.header = "d1b97caedbeee9cc9fee8cc00007",
		.payload = "f05152ac041f4ec1ad62a3132db2c3e5e67ca271bea35cadf7a848c9cd3e56f6"
			  "ec",
		.packet = "dab97caedbeee9cc9fee8cc0f130263b82f5a4142c36b27b48f6c69885055db5"
			  "254619aa0b046edf32e8c083534fc8d72c92600d82e4a8bffccd1f2b1a4f9d",
	},
	{
		.name = "CHACHA20_POLY1305_SHA256 VERSION_1 2",
		.suite = 0x1303,
		.version = 0x00000001,
		.updates = 1,
		.one_rtt = true,
		.pn = 2882343476u,
		.pn_len_bytes = 3,
		.secret = "258f43521fcf8a43e1e91bc6e2a56ab89878c09d9d0adceb2c3cbd6532656157",
		.header = "46cd1234",
		.payload = "ee89448659a3287fd16bd998d6b5703e",
		.packet = "5509abebcff1e681b05911ad8c91e977be67498a3aacec0a15350ec9ff915958"
			  "be99a980",
	},
	{
		.name = "CHACHA20_POLY1305_SHA256 VERSION_1 3",
		.suite = 0x1303,
		.version = 0x00000001,
		.updates = 2,
		.one_rtt = true,
		.pn = 4611686018427387903u,
		.pn_len_bytes = 4,
		.secret = "a988d0e980eecd76a2dae16235847a356d2d44e16d665fbcbb236c5e74dde804",
		.header = "43b97caedbeee9cc9fee8cc0e82d15f9b2f49f1f01ffffffff",
		.payload = "2bf16a8da00169d7b9fdbaeb3e15d9edcdcfbf4c676c554a8a5f44c5b0323c06"
			  "3e20e0dfcfc82d5dd3d463e2b1250816349996b18d9149241353254ef57f680e"
			  "d124dfbbd43f9c8836f6ceb80d5a30f2b8dd95790a923e0a0d721969ab54eb56"
			  "9e9ad07d06061c04ff308f43270bdeb3dbda6fc3a8b17d1b9553ddcbf1f9bb0c"
			  "9f73721c45ee013c4beb885f52604af1b824119c9c713e5e931ac0dbeeacfabb"
			  "9ae48b3b31f3c409397f8e1e265faa67d6346cd7b25101bf1a9a59339ddfee34"
			  "fbd8b55e4218a1b8cafdb879de290258755efd66d2b4c9fcb01484d39da181dc"
			  "8fdd1925d5ccdf8f957536a138c0e47303991c4f03f1124afc84879c0bfe3a53"
			  "02",
		.packet = "43b97caedbeee9cc9fee8cc0e82d15f9b2f49f1f0188a082fd584def2ffbbf94"
			  "d130331181501fdacfeb07801f53a1e38a9000cbc4a883e2e9e34402e287736e"
			  "e4b5f06397a3341efd7532a7d0650511d80555f62422e1f928f2f6afed3d13d0"
			  "3753acd0a91c59212123e3ef7e836a84694b439650a24c6fa2f2ac20abac523c"
			  "c16abdc56e53b79144da7c67c69cb17c7e8e7d8dfd109c3444f54ff12de6e883"
			  "f842c922f5a15e685bd2a298eeeaef4cd219a79677668f25006fda853907b8fc"
			  "70edc39a8c46a9e7cf047710855e251d976c20282f773c69f192d8b89f7269a1"
			  "b5771467093b94866d8ae06fcb7a8c52df2098615981253bf688f7cbb7f85e00"
			  "b6f2608ad375c72f726e1ef9a86aea8f4a1c7838b2b3effe9889730d7ebce56e"
			  "96372ed971698b2d182c",
	},
	{
		.name = "CHACHA20_POLY1305_SHA256 VERSION_2 0",
		.suite = 0x1303,
		.version = 0x6b3343cf,
		.updates = 0,
		.one_rtt = true,
		.pn = 0u,
		.pn_len_bytes = 1,
		.secret = "c6d97aceb49faa45777cac60b3e0c2bb0528389bf65ecc6a61e18504490c5495",
		.header = "40b97caedbeee9cc9f00",
		.payload = "fd9a2a",
		.packet = "4eb97caedbeee9cc9f0f0aebc53b37bfba316fc0e1f450ac8e2ae460e9",
	},
	{
		.name = "CHACHA20_POLY1305_SHA256 VERSION_2 1",
		.suite = 0x1303,
		.version = 0x6b3343cf,
		.updates = 0,
		.one_rtt = false,
		.pn = 7u,
		.pn_len_bytes = 2,
		.secret = "313362ce20cbeb41e5bef1d7ad6e9f322e5d128d824fd5723be4713235d9bfc4",
		.header = "d1b97caedbeee9cc9fee8cc00007",
		.payload = "4212f19a31bc1620ec619b2da6c8ca69810ccc78083aef0f46e7937f879ae539"
			  "95",
		.packet = "d5b97caedbeee9cc9fee8cc01df38a93cd08345b84af47b2d80633ab0974d54b"
			  "f9bfdc7161d917d0ed969fdf6342b97c42b6b0bb4b432a2bdf46ffcd5e85fd",
	},
	{
		.name = "CHACHA20_POLY1305_SHA256 VERSION_2 2",
		.suite = 0x1303,
		.version = 0x6b3343cf,
		.updates = 1,
		.one_rtt = true,
		.pn = 2882343476u,
		.pn_len_bytes = 3,
		.secret = "9d15f10d4e143143d6ce5ea5c33c1bd50461e55c2a66e07b75a4effd538ad210",
		.header = "46cd1234",
		.payload = "20a494c61093d5c650a779e07a8a399e",
		.packet = "583a2e292187cf9f827228093eaec2b4d14d0ea199761f91bf45516df0ce3bd1"
			  "21a44691",
	},
	{
		.name = "CHACHA20_POLY1305_SHA256 VERSION_2 3",
		.suite = 0x1303,
		.version = 0x6b3343cf,
		.updates = 2,
		.one_rtt = true,
		.pn = 4611686018427387903u,
		.pn_len_bytes = 4,
		.secret = "1eb250cb4b74d771a2465ce5b413156ab804a308f9936e344ce9e0b1acd097f0",
		.header = "43b97caedbeee9cc9fee8cc0e82d15f9b2f49f1f01ffffffff",
		.payload = "f40cd0c9b35eddbe0f3a4e50964b2f704a655f9e1f292db385f9571456f04cfe"
			  "6afb12d2f49f9aa1fb83f81678de6a5c6aa7c2a270b0eb85214b779339223e5a"
			  "ae412d1fb10140c77bae53a045471e1c7ccd0a6c1f075f817f3d401cfe8c133a"
			  "ee23c3e4901b302b26bbd0f4f2f056ee3d72e3ce4288139520d5ac6eff3b3d58"
			  "d20f48cacb6da08804e988a36f5b01bbc24bf5cb6922d22b4493578b61010047"
			  "c28a7972292db1657fb73f34c51e370733e2afca2bea9411f7fd042180f5076f"
			  "3207322c5c4af415a0f5909164412d272ed56003af18c4c60b4627d653ec5c31"
			  "646613182667b26413734e30434910a080be6f324145a6a5d89a9e0712816b41"
			  "7a",
		.packet = "56b97caedbeee9cc9fee8cc0e82d15f9b2f49f1f016edb340faba0fe2fb0092f"
			  "a47f26f20c9be1c7d6bf7b7ca65ce93bf3db32512aa1e45cb6a3feae4200d40a"
			  "56edadacc67ad184b3d855f1ef2f2980265e9812b5a49a21109c6166b9b049f9"
			  "03634c9c731e0604608bd36345562772a6888b81e76edbc95b25a98154eeacf1"
			  "278fad0cb1f53a8938721cf3440e7e5846dbc6192826d654c0104b8fa4531521"
			  "e791d6e50cc75461376256c730dbb61c993d73f730107665ebe2e82026093a7f"
			  "6522de49b1c21a003b2255505b4305c63db8ae3ccc481dbc941eb541de45e3af"
			  "66e44aacfc340f43a459c20dce0603faa2826dcc66fc09f5f1f6210005059f85"
			  "270bab12c36c092e70975ed5147bed638447c1aba4df8eb3c9812ae1eec641d3"
			  "50ea4ebfc3c117b542e3",
	},
