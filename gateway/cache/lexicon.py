"""Word lists of the semantic cache, English and Chinese: what says nothing, what says the same, what must not differ.

They are for wording.py. A word that is missing here costs a hit, hardly ever a false one: what two questions
do not have in common is compared by itself (similarity.py). New entries come from false hits or missed
paraphrases, with a pair in the `tune` part of evals/semantic_cache.yaml.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Taken off the front and the end, again and again until nothing of it is left there.
COURTESY_BEFORE = (
    r"please|kindly|hi|hello|hey|hi there|hello there|dear \w+|thanks|thank you|excuse me|sorry|ok|okay"
    r"|well|so|now|just"
    r"|quick question|question|(?:can|could|would|will) you(?: please| kindly)?"
    r"(?= (?:explain|tell|show|give|help|list|write|suggest|describe|summari[sz]e|make|create|recommend|draft|check"
    r"|compare|find|look|translate|rewrite|analy[sz]e|provide|let|define|generate|outline|walk|please|kindly))"
    r"|help me(?: to)?|tell me|let me know|show me|do you know|any idea|(?:i was|i am) wondering(?: if| whether)?"
    r"|(?:i would like|i want|i need|i am trying) to (?:know|ask|understand|find out)(?: if| whether)?"
    r"|would you mind telling me|may i ask|(?:i have )?a question about"
)
COURTESY_AFTER = (
    r"please|thanks|thank you|thanks a lot|many thanks|thx|pls|for me|right now|at the moment|then|in advance|exactly"
)
COURTESY_BEFORE_ZH = (
    r"请问一下|请问|麻烦你|麻烦您|麻烦|帮我|帮忙|帮我们|请帮我|请你|请您|请|劳驾|您好|你好|哈喽|嗨|在吗|亲"
    r"|那个|我想问一下|我想问问|我想问|我想知道|想问一下"
    r"|想问问|想问|问一下|问下|咨询一下|咨询下|想咨询一下|想咨询|能不能帮我|可以帮我|能帮我|可不可以帮我"
    r"|能否帮我|告诉我|跟我说说|说一下|说说|谢谢|不好意思"
)
COURTESY_AFTER_ZH = r"谢谢|多谢|谢谢你|谢谢您|拜托了|呢|啊|呀|哦|嘛|哈|吧|啦|了"

SPELLED = {
    "can't": "can not",
    "cannot": "can not",
    "won't": "will not",
    "shan't": "shall not",
    "n't": " not",
    "i'm": "i am",
    "i'd like": "i would like",
    "'re": " are",
    "'ve": " have",
    "'ll": " will",
    "it's": "it is",
    "that's": "that is",
    "what's": "what is",
    "where's": "where is",
    "who's": "who is",
    "how's": "how is",
    "let's": "let us",
    "isnt": "is not",
    "dont": "do not",
    "doesnt": "does not",
    "cant": "can not",
    "wont": "will not",
    "e-mail": "email",
    "sign-in": "login",
    "sign in": "login",
    "signin": "login",
    "log-in": "login",
    "logon": "login",
    "log in": "login",
    "log into": "login",
    "logging in": "login",
    "sign up": "register",
    "turn on": "enable",
    "turn off": "disable",
    "switch on": "enable",
    "switch off": "disable",
    "get in touch with": "contact",
    "get rid of": "remove",
    "look at": "check",
    "have a look at": "check",
    "for what reason": "why",
    "how come": "why",
    "in order to": "to",
    "as well as": "and",
    "get back": "recover",
    "wi-fi": "wifi",
    "set up": "setup",
    "per cent": "%",
    "percent": "%",
}

# (pattern at the beginning, the kind of question that it makes); the first that fits, longest frames first.
_I = r"(?:i|we|you|one|someone|people|a (?:person|user|customer))"
_DO = r"(?:do|can|could|should|would|must|may|shall|will|might)"
FRAMES: tuple[tuple[str, str], ...] = (
    (
        r"what (?:is|are|would be) (?:the |a )?(?:best |right |correct |proper |easiest |recommended )?(?:way"
        r"|method)s? (?:to|of|for)",
        "how",
    ),
    (r"what (?:should|do|must|can|could) (?:i|we) (?:do|need to do|have to do) (?:to|in order to)", "how"),
    (rf"how {_DO} {_I} go about|how (?:{_DO} {_I}|{_I} {_DO}|does one|to)|is there (?:a|any) way (?:to|of)", "how"),
    (
        r"(?:what|which) (?:are the )?steps (?:are |do i |should i )?(?:needed |required |necessary "
        r"|take )?(?:to|for|of|in)",
        "how",
    ),
    (r"(?:list|give me|describe|explain|outline|give|show)? ?(?:all )?(?:the )?steps (?:to|for|of|in)", "how"),
    (r"what (?:is|are|was) the reasons? (?:why|that|for|of)?", "why"),
    (r"why (?:do|does|is|are|has|have|can|would|should)", "why"),
    (r"why (?:did|was|were|had)|why", "why"),
    (r"how (?:long|many days|many hours)(?: (?:will|does|do|would|is|are|should))?", "how long"),
    (r"how many|how much|how often|how old|how far|how big|how large", "how many"),
    (r"how", "how"),
    (r"(?:explain|describe|define)(?: to me)? (?:why)", "why"),
    (r"what (?:is|are) (?:the )?(?:meaning|definition) of", "what"),
    (r"(?:explain|describe|define|tell me about|tell me more about)(?: to me)?(?: what)?", "what"),
    (r"(?:what|which) (?:is|are|was|were|do|does|did|will|would)(?= )", "what"),
    (r"what|which", "what"),
    (
        r"(?:to|with|from) whom|whom|who(?= (?:should|do|did|does|can|must|shall|could|would) (?:i|we|you|they"
        r"|he|she)\b)",
        "whom",
    ),
    (r"who|whose", "who"),
    (r"where (?:do|does|can|could|should|is|are|did|was|were|will)|where", "where"),
    (r"when (?:do|does|can|could|should|is|are|did|was|were|will|would)(?= )", "when"),
    (r"is it possible (?:to|for me to|that i)|am i (?:able|allowed) to|are we (?:able|allowed) to", "can"),
    (rf"(?:can|could|may|might) {_I}|can|could|may|might", "can"),
    (rf"(?:do|does) {_I} (?:need|have) to|(?:should|must|shall|ought) {_I}|should|must|shall", "should"),
    (r"(?:did|was|were|has|have|had)(?= )", "past"),
    (r"(?:is|are|am|do|does)(?= )", "is"),
    (r"(?:will|would)(?= )", "will"),
    (r"summari[sz]e|(?:write |give me |make |create |provide |i need )?(?:a |the )?summary of", "sum up"),
    (r"i (?:want|would like|wish|need) to", "want"),
    (r"i (?:want|would like|need)|(?:give|get|bring) me|write|create|make|draft|compose|generate|produce", "make"),
)
TAILS: tuple[tuple[str, str], ...] = (
    (r"what does (.+) mean", "what"),
    (r"(?:what|which) (.+) (?:is|are)", "what"),
    (r"(.+) how", "how"),
)

# The same as its first word, for what the cache's questions are about.
SYNONYMS: tuple[tuple[str, ...], ...] = (
    ("package", "parcel", "shipment"),
    ("buy", "purchase", "order"),
    ("customer", "client", "shopper", "buyer"),
    ("answer", "reply", "respond", "response"),
    ("inform", "notify"),
    ("repair", "fix"),
    ("begin", "start", "launch"),
    ("end", "finish", "close", "conclude"),
    ("choose", "select", "pick"),
    ("analyze", "analyse", "examine", "inspect"),
    ("account", "accounts"),
    ("show", "display"),
    ("error", "mistake"),
    ("short", "brief"),
    ("quick", "fast"),
    ("color", "colour"),
    ("check", "review"),
    ("delete", "erase"),
    ("sign", "indication"),
    ("help", "assist"),
    ("malicious", "harmful"),
    ("suspicious", "dubious"),
    ("rewrite", "make"),
    ("password", "passcode"),
    ("shop", "store"),
    ("edit", "modify"),
    ("photo", "picture"),
    ("get", "obtain"),
    ("know", "tell"),
    ("mobile", "cellphone"),
    ("contact", "reach"),
    ("need", "require"),
)
REWRITTEN_ZH: tuple[tuple[str, str], ...] = (
    (
        "怎么样才能|要怎么样|怎么样|要怎么才能|怎么才能|如何才能|该如何|应该如何|应该怎么|应该怎样|该怎么"
        "|要怎么|该怎样|怎样才能|怎样|如何|咋",
        "怎么",
    ),
    ("怎么处理|怎么处置|怎么解决|怎么应对|怎么办理|怎么弄|怎么搞|怎么做|怎么办", "怎么办"),
    ("的?(?:步骤|流程|方法)(?:是什么|有哪些|是怎样的|是啥)", "怎么"),
    ("为何|为啥|怎么会|什么原因|是什么原因", "为什么"),
    ("(?:代表|表示)?(?:是)?(?:什么|啥)意思|的?含义(?:是什么)?", "是什么"),
    ("解释一下什么是|解释什么是|解释一下|解释下|介绍一下什么是|说明一下|说明", "什么是"),
    ("有哪些|有什么|是哪些|都有什么|有啥", "是什么"),
    ("啥", "什么"),
    ("哪儿|什么地方|何处|哪边", "哪里"),
    ("到(?:了)?哪里?(?:了)?$", "在哪里"),
    ("何时|啥时候|什么时间|几点钟|几点|哪天", "什么时候"),
    ("多长时间|几天|多少天|多少时间", "多久"),
    ("能不能|可不可以|能否|可否|是否可以|是否能够|是否能|可以不可以|能够", "能"),
    ("可以", "能"),
    ("是不是|是否为|是否是|是否", "是"),
    ("要不要|需不需要|该不该|应不应该|用不用|是否需要|应该|需要", "要"),
    ("有没有", "有"),
    ("账户|帐号|帐户", "账号"),
    ("登陆", "登录"),
    ("顾客|买家", "客户"),
    ("快递|包裹|快件", "包裹"),
    ("回应|回复|回答|答复", "回复"),
    ("购买|下单买", "买"),
    ("使用", "用"),
    ("查看|检查|查一下", "看"),
    ("判断|辨别|识别|分辨", "判断"),
    ("直播带货|带货直播", "直播"),
    ("退钱|退款", "退款"),
    ("删掉|移除|删除", "删除"),
    ("(?:想|写|来|出|做)(?:一|几|个)?(?:个|段|句|条|份|篇|下)", "写"),
    ("一个|一段|一句|一条|一份|一篇|一些|一种", ""),
    ("锁定|锁住", "锁定"),
    ("忘记|忘了", "忘记"),
    ("报警|告警", "告警"),
    ("修改|更改|变更", "修改"),
    ("大概|大约|一般|通常|具体|到底|究竟|其实|一下|的?时候|(?<=束)时|(?<=始)时", ""),
    ("营业时间是?什么时候|什么时候(?:营业|开门)", "营业时间"),
    ("发现|发生|收到的", ""),
    ("打算|想要|希望", "想"),
)

# Say nothing about what is asked. Not here: before, after, with, without, from, than, by, not, more, no, all, any ...
STOP_WORDS = _words(
    """a an the this that these those my our me i we us you your it its be is are am was were been do does did
    of in on at about for to into as and would will shall there here just also really actually some such so much very
    have has had get got exactly currently please kindly possible able way best need going want like so"""
)
STOP_ZH = (
    "我们|你们|您们|咱们|这个|那个|这款|这份|这台|这些"
    "|的|地|得|了|着|过|呢|吗|吧|啊|呀|嘛|我|你|您|请|个|会|里(?!程|面)|些|来|去(?!除)|给|为(?!什么)|(?<!不)是(?!什么)"
)

NEGATIONS = _words("not no never none without neither nor nothing nobody hardly except excluding unless")
NEGATIONS_ZH = (
    r"不是|不能|不会|不要|不用|不可|没有|无法|未|非(?!常)|别(?!名)|勿|没|无(?!线)|不(?!同|错|过|好意思)|除了|除外"
)

# Directions: (one side, the other). A text's sides must be the same for it to be the same question.
OPPOSITES: tuple[tuple[str, str], ...] = (
    ("before prior earlier", "after following later"),
    ("enable activate enabled", "disable deactivate disabled"),
    ("up increase raise rise increasing increased upgrade", "down decrease reduce lower fall drop downgrade"),
    ("more higher greater above over larger bigger exceed", "less fewer below under smaller"),
    ("max maximum most", "min minimum least"),
    ("first", "last"),
    ("allow permit allowed allowlist whitelist allows", "deny block blocked denied forbid blocklist blacklist denies"),
    ("start begin open", "stop end close"),
    ("upload import", "download export"),
    ("install", "uninstall"),
    ("encrypt", "decrypt"),
    ("inbound incoming ingress", "outbound outgoing egress"),
    ("send sender", "receive receiver recipient"),
    ("buy buyer", "sell seller"),
    ("add include including", "remove exclude delete"),
    ("login", "logout"),
    ("internal inside", "external outside"),
    ("public", "private"),
    ("success successful succeed passed pass", "failure failed fail"),
    ("true", "false"),
    ("valid", "invalid"),
    ("safe", "unsafe dangerous"),
    ("men man male boy husband mr men's boys", "women woman female girl wife mrs women's girls"),
    ("left", "right"),
    ("early", "late"),
    ("cheap cheaper cheapest", "expensive"),
    ("old older", "new newer"),
    ("short shorter", "long longer"),
    ("hot", "cold"),
    ("win", "lose"),
    ("lock locked", "unlock unlocked"),
    ("subscribe", "unsubscribe"),
    ("connect", "disconnect"),
    ("profit gain", "loss"),
    ("best", "worst"),
    ("push", "pull"),
    ("read", "write"),
    ("accept approve", "reject decline"),
    ("advantage advantages pros", "disadvantage disadvantages cons"),
    ("online", "offline"),
    ("debit", "credit"),
    ("http", "https"),
    ("lend", "borrow"),
    ("day", "night"),
    ("all every", "any some"),
    ("bull bullish long", "bear bearish short"),
)
OPPOSITES_ZH: tuple[tuple[str, str], ...] = (
    ("前", "后"),
    ("启用|开启|打开|激活", "禁用|关闭|停用|关掉"),
    ("涨|上涨|提价|升", "跌|下跌|降"),
    ("男", "女"),
    ("大于|高于|超过|多于|以上", "小于|低于|少于|以下"),
    ("最高|最大|最多", "最低|最小|最少"),
    ("高危", "低危|中危"),
    ("允许|放行|白名单", "拒绝|阻断|黑名单"),
    ("封禁|拉黑|封锁", "解封|解禁"),
    ("上传", "下载"),
    ("导入", "导出"),
    ("安装", "卸载"),
    ("加密", "解密"),
    ("绑定", "解绑"),
    ("成功", "失败"),
    ("优点|优势|好处", "缺点|劣势|坏处"),
    ("长", "短"),
    ("贵", "便宜"),
    ("新", "旧|老"),
    ("上午|早上|白天", "下午|晚上|夜里"),
    ("升级", "降级"),
    ("增加|增长|添加|提高", "减少|下降|删除|降低"),
    ("内网|内部", "外网|外部"),
    ("买|收购", "卖|出售"),
    ("锁定|冻结", "解锁|解冻"),
    ("线上|在线", "线下|离线"),
    ("公开", "私密|私有"),
    ("开始", "结束|停止"),
    ("发送|发出", "接收|收到"),
    ("左", "右"),
    ("冷", "热"),
    ("大", "小"),
    ("多", "少"),
    ("早", "晚|迟"),
    ("快", "慢"),
    ("首|第一", "末|最后"),
    ("入站|入口", "出站|出口"),
    ("充值|存款", "提现|取款"),
    ("赚|盈利", "亏|亏损"),
    ("有", "无|没"),
    ("胜|赢", "负|输"),
    ("支出", "收入"),
    ("加|满", "减"),
    ("正", "反"),
)

# Closed classes: too near each other in any embedding, so each must be there in both texts.
EXACT = _words(
    """monday tuesday wednesday thursday friday saturday sunday january february march april may june july august
    september october november december today yesterday tomorrow spring summer autumn fall winter morning evening night
    noon weekly daily monthly yearly hour hours day days week weeks month months year years minute minutes second
    seconds red blue green yellow black white pink purple orange brown grey gray gold silver small medium large
    euro euros dollar dollars pound pounds yen yuan rmb usd eur gbp cny kg g mg km cm mm ml mb gb tb kb
    once twice third double half both either only even still again who whom when where why all any every
    english chinese french german spanish japanese korean italian russian"""
)
EXACT_ZH = (
    r"周[一二三四五六日天末]|星期[一二三四五六日天]|今天|昨天|明天|前天|后天|今年|去年|明年|本周|上周|下周"
    r"|本月|上月|下月|[春夏秋冬]|[红橙黄绿青蓝紫黑白粉灰金银]色?"
    r"|小时|分钟|秒|天|周|月|年|元|块|美元|欧元|日元|克|千克|公斤|斤|米|厘米|毫升|升|北京|上海|广州|深圳"
    r"|天津|重庆|成都|杭州|南京|武汉|西安|苏州|香港|台湾|澳门|谁|哪里"
    r"|什么时候|多久|多少|只|仅|都|每|全部|所有|英文|中文|英语|日语|法语|微信|支付宝|京东|淘宝|天猫|抖音"
    r"|快手|拼多多|小红书|妇女节|情人节|中秋|春节|国庆|元旦|端午"
)
