"""English scenarios: women's health, pregnancy and the time after birth."""

from scenario import Scenario as S

SCENARIOS = [
    S(
        "painful-periods-teen", topic="Painful periods in young women", ages=(14, 22), sex="f",
        case="{name}, {age}, misses school one day each month because of cramps.",
        say=(
            "My periods hurt so much that I miss school.",
            "My daughter, {age}, has strong cramps and vomits with her period.",
            "I am {age} and pain starts {n} days before my period.",
            "My cramps no longer respond to tablets.",
        ),
        ask=(
            ("Is this much pain normal?", "Pain that stops school, work or sleep is not something to put up with."),
            ("What helps against cramps?", "Warmth, gentle movement and pain relief taken at the first sign."),
        ),
        net=(0, 0, 0, 2), n=(2, 3),
        facts=(
            "Cramps come from the womb squeezing, and they often ease after the first days.",
            "Pain that keeps someone from school or work deserves treatment.",
            "Endometriosis can cause strong pain and is often found late.",
        ),
        advice=(
            "Use a hot-water bottle wrapped in a towel on the lower belly.",
            "Move gently, for instance with a walk or stretching.",
            "Keep a diary of pain, bleeding and missed days.",
            "Start pain relief early, at the first sign of cramps, as the packet says.",
        ),
        medicine=(
            "Ibuprofen with food helps many; avoid it with asthma or stomach trouble unless a clinician agrees.",
            "Hormonal treatment is an option that a doctor can explain.",
        ),
        warn=(
            "See a doctor if pain keeps you from school or tablets do not help.",
            "Get urgent care for sudden severe pain, fainting, or pain with a possible pregnancy.",
            "Book a visit for pain during sex, or bleeding between periods.",
        ),
        follow=("Give a treatment three cycles, then review the diary together.",),
        bad=(
            "Girls just have to suffer through it.",
            "Missing school every month is laziness.",
            "Sudden pain with a late period means nothing.",
            "Nothing on earth helps against cramps.",
        ),
        talk=(
            ("Is the pill the only way?", "No, pain relief taken early, heat and exercise help many people. Hormonal methods are one option among several, and a doctor can explain which would suit you."),
        ),
    ),
    S(
        "missed-contraceptive-pill", topic="A missed contraceptive pill", ages=(17, 40), sex="f",
        case="{name}, {age}, forgot two combined pills in the first week of her pack.",
        say=(
            "I forgot my contraceptive pill yesterday evening.",
            "I am {age} and missed {n} pills in my first week.",
            "I threw up an hour after taking my contraceptive pill.",
            "My girlfriend missed her mini-pill by half a day.",
        ),
        ask=(
            ("Is there still protection?", "After one late pill usually yes; after two or more, not for certain."),
            ("Is emergency contraception needed?", "It may be if there was unprotected sex, so ask a pharmacist today."),
        ),
        net=(0, 0, 0, 0), n=(2, 3),
        facts=(
            "One late combined pill rarely matters, whereas two or more missed pills do.",
            "Pills missed in the first week are the most likely to lead to pregnancy.",
            "The time limit for progestogen-only pills is shorter and depends on the type.",
        ),
        advice=(
            "Take the last missed pill now, also if that means two in one day.",
            "Use condoms for the next seven days after two or more missed pills.",
            "Read the leaflet for the rule of this type of pill.",
            "Call a pharmacist today about emergency contraception if there was sex without protection.",
        ),
        medicine=(
            "Some epilepsy tablets and herbal mood remedies weaken the pill; ask before combining them.",
            "A pill that was vomited within three hours counts as missed.",
        ),
        warn=(
            "Ask a pharmacist or clinic today, because emergency pills work best early.",
            "Take a pregnancy test and see a clinician if the bleed does not come.",
            "Get urgent care for calf swelling, chest pain or sudden bad headache on the pill.",
        ),
        follow=("If pills are often forgotten, a method that works for years may suit better.",),
        bad=(
            "Missed pills make no difference in the first week.",
            "Nobody gets pregnant that quickly.",
            "Herbal remedies can never weaken a pill.",
            "Calf swelling on the pill is only heat.",
        ),
        talk=(
            ("How long do emergency pills work?", "Depending on the type, up to three or five days after sex, and better the sooner they are taken. A copper coil within five days is the most reliable choice."),
        ),
    ),
    S(
        "menopause-hot-flushes", topic="Hot flushes in the menopause", ages=(46, 57), heldout=True, sex="f",
        case="{name}, {age}, wakes drenched in sweat and is tired at work.",
        say=(
            "I am {age} and have hot flushes day and night.",
            "I have not slept well for {n} months because of sweating.",
            "My wife is in the menopause and feels low and irritable.",
            "My periods stopped over a year ago, and now I bleed again.",
        ),
        ask=(
            ("Is hormone treatment safe?", "For many women the benefits outweigh the risks, but it depends on the history."),
            ("What helps without hormones?", "Cool rooms, layers, exercise, less alcohol and cognitive techniques."),
        ),
        net=(0, 0, 0, 1), urgent=(3,),
        facts=(
            "Falling oestrogen disturbs the temperature control of the body and causes flushes.",
            "Flushes last several years on average and slowly fade.",
            "Bleeding after a year without periods always needs an examination.",
        ),
        advice=(
            "Dress in layers, keep the bedroom cool and use a fan.",
            "Cut down on alcohol, spicy food and hot drinks if they trigger flushes.",
            "Exercise regularly, and strengthen muscles and bones.",
            "Try cognitive behavioural techniques for sleep and flushes.",
        ),
        medicine=(
            "Hormone treatment works best; benefits and risks depend on age and medical history.",
            "Check herbal products with a pharmacist, as some interact with other tablets.",
        ),
        warn=(
            "See a doctor if flushes disturb sleep, work or mood.",
            "Get examined soon for any bleeding after the menopause.",
            "Seek urgent help for chest pain, one-sided leg swelling or thoughts of self-harm.",
        ),
        follow=("After starting treatment, a review at three months and then yearly is usual.",),
        bad=(
            "Bleeding again at your age is a sign of youth.",
            "Women simply have to sweat it out.",
            "Low mood in the menopause is mere moodiness.",
            "Herbal tablets are harmless in any amount.",
        ),
        talk=(
            ("Do I still need contraception?", "Yes, usually until one year after the last period if you are over 50, or two years if younger. Hormone treatment for flushes does not prevent pregnancy."),
        ),
    ),
    S(
        "gestational-diabetes", topic="Diabetes in pregnancy", ages=(24, 41), sex="f",
        case="{name}, {age}, is 27 weeks pregnant and failed the sugar test.",
        say=(
            "I am pregnant and my sugar test came back too high.",
            "I am {age}, pregnant, and was told that I have gestational diabetes.",
            "My wife has diabetes in pregnancy and worries about the baby.",
            "I am pregnant, and my morning sugar has been high for {n} days.",
        ),
        ask=(
            ("Will the baby be all right?", "Most babies are healthy when sugar is kept close to target."),
            ("What should I eat now?", "Small regular meals with whole grains, vegetables and protein, and few sweets."),
        ),
        net=(1, 0, 1, 0),
        facts=(
            "Hormones of pregnancy make insulin work less well in some women.",
            "Good sugar control lowers the risk of a large baby and a difficult birth.",
            "Gestational diabetes usually goes after birth but raises the later risk of type 2.",
        ),
        advice=(
            "Spread carbohydrates over three small meals and two or three snacks.",
            "Take a walk of ten to fifteen minutes after each meal.",
            "Measure sugar at the times the team has given and write it down.",
            "Choose whole grains, vegetables, nuts and yoghurt without sugar.",
        ),
        medicine=(
            "Insulin is safe in pregnancy and is used when food and walking are not enough.",
            "Do not take any diabetes tablet that was not prescribed in this pregnancy.",
        ),
        warn=(
            "Call the maternity team if sugar is above target three times in a week.",
            "Call at once if the baby moves less, or for bleeding or severe headache.",
            "Get medical help the same day for vomiting with high sugar.",
        ),
        follow=(
            "A sugar test six to twelve weeks after birth, and then yearly, is recommended.",
        ),
        bad=(
            "Babies love sugar, so eat for two.",
            "High values in pregnancy leave no trace at all.",
            "Skip the measuring, since it only makes you nervous.",
            "Fewer movements mean a lazy baby and nothing more.",
        ),
        talk=(
            ("Can I give birth normally?", "Most women with well-controlled sugar have a normal birth. The team checks the growth of the baby by ultrasound and talks with you about the best time and way."),
        ),
    ),
    S(
        "pregnancy-nausea", topic="Nausea in early pregnancy", ages=(21, 39), sex="f",
        case="{name}, {age}, is nine weeks pregnant and feels sick all day.",
        say=(
            "I am nine weeks pregnant and feel sick all day.",
            "I am pregnant and have vomited {n} times today.",
            "My wife is pregnant and cannot stand any smell of food.",
            "I am {age}, pregnant for the first time, and losing weight.",
        ),
        ask=(
            ("What can I eat?", "Small, dry, plain snacks every two hours, with cold drinks in between."),
            ("Is the baby getting enough?", "Yes, with mild nausea the baby takes what it needs."),
        ),
        net=(0, 0, 0, 2), n=(3, 6),
        facts=(
            "Nausea affects most pregnant women and usually eases after three or four months.",
            "Mild vomiting does not harm the baby.",
            "Severe vomiting with weight loss needs treatment in a clinic.",
        ),
        advice=(
            "Eat small dry snacks before getting up, and every two hours.",
            "Drink cold fluids in small sips between meals.",
            "Try ginger tea or biscuits, and avoid strong smells.",
            "Rest, since tiredness makes nausea worse.",
        ),
        medicine=(
            "Ask a doctor or midwife which anti-sickness tablets are suitable in pregnancy.",
            "If vitamins make nausea worse, take folic acid alone and ask the midwife.",
        ),
        warn=(
            "Call the midwife the same day if no fluid stays down for a day.",
            "Get urgent care for dark urine, fainting, blood in vomit or belly pain.",
            "See a clinician if you lose weight or vomit beyond 20 weeks.",
        ),
        follow=("A urine and weight check shows whether fluids by drip are needed.",),
        bad=(
            "Vomiting blood in pregnancy is quite common.",
            "Eat three large meals and pull yourself together.",
            "Pregnant women never dry out.",
            "Dark urine in pregnancy only comes from vitamins.",
        ),
        talk=(
            ("Is ginger safe for the baby?", "Ginger in food, tea or biscuits is considered safe in normal amounts and helps some women. Ask your midwife before taking capsules, above all if you use blood thinners."),
        ),
    ),
    S(
        "pregnancy-fewer-movements", topic="Fewer movements of the baby in late pregnancy", ages=(22, 40), sex="f",
        case="{name}, {age}, is 34 weeks pregnant and has felt the baby less since the morning.",
        say=(
            "I am 34 weeks pregnant and feel my baby less today.",
            "I am {age} and my baby has not moved for {n} hours.",
            "My wife is in her eighth month and the kicks have changed.",
            "I am pregnant; my baby was lively yesterday and is quiet now.",
        ),
        ask=(
            ("Should I wait until tomorrow?", "No, please call the maternity unit now, whatever the hour."),
            ("Does a quiet baby just sleep?", "Sleep lasts less than ninety minutes, so a lasting change needs a check."),
        ),
        net=(0, 0, 0, 0), urgent=(0, 1, 2, 3),
        facts=(
            "Healthy babies keep moving until birth, and a clear change is a warning sign.",
            "A baby's sleep usually lasts less than ninety minutes.",
            "A home heartbeat device cannot show that a baby is well.",
        ),
        advice=(
            "Call the maternity unit now, at any hour.",
            "Lie on the left side and pay attention while help is arranged.",
            "Do not rely on cold drinks or sugar to wake the baby.",
            "Take the maternity notes along.",
            "Get to know the usual pattern of movements from week 28.",
        ),
        medicine=(
            "Mention any tablets or pain relief that were taken today.",
            "Do not take anything new until the team has checked the baby.",
        ),
        warn=(
            "Call the maternity unit straight away if movements are fewer or weaker.",
            "Go in at once for bleeding, leaking fluid or strong belly pain.",
            "Call again if movements slow down a second time, even after a normal check.",
        ),
        follow=("The team listens to the heartbeat, and may do a scan on the same day.",),
        bad=(
            "Babies stop moving before birth to save strength.",
            "Wait two days and count again.",
            "A quiet baby is a well-behaved baby.",
            "Drink something sweet and go to bed.",
        ),
        talk=(
            ("Am I bothering the midwives?", "No, they would much rather check a well baby than miss one in trouble. Call every time you are unsure; nobody will think that you are wasting their time."),
        ),
    ),
    S(
        "breastfeeding-mastitis", topic="Mastitis while breastfeeding", ages=(22, 40), sex="f",
        case="{name}, {age}, breastfeeds her newborn and has a red, painful breast.",
        say=(
            "I breastfeed and part of my breast is red and sore.",
            "I am {age}, and have had fever and a hard breast for {n} days.",
            "My wife has a painful breast and wants to stop nursing.",
            "I get blocked milk ducts again and again.",
        ),
        ask=(
            ("Is breastfeeding still possible?", "Yes, and feeding on helps the breast to recover."),
            ("Are antibiotics needed?", "Only if it is no better within a day or you have fever."),
        ),
        net=(0, 1, 0, 0), urgent=(1,), n=(2, 3),
        facts=(
            "Mastitis is an inflamed breast, often after milk has not drained well.",
            "Milk from a breast with mastitis is safe for a healthy baby.",
            "An abscess is a rare complication and feels like a lasting, tender lump.",
        ),
        advice=(
            "Go on feeding as the baby wishes, without extra pumping.",
            "Use cold packs after feeds for comfort.",
            "Rest, drink and wear a bra that does not press.",
            "Check the baby's position at the breast with a midwife.",
            "Stroke gently towards the armpit and avoid hard massage.",
        ),
        medicine=(
            "Paracetamol and ibuprofen are usually suitable while nursing; follow the packet.",
            "If antibiotics are prescribed, finish them and go on feeding.",
        ),
        warn=(
            "See a doctor if it is no better within a day or fever starts.",
            "Get urgent care if you shiver, feel very ill or the redness spreads fast.",
            "Have a lump examined that stays after the soreness has gone.",
        ),
        follow=("A nursing adviser can look at one feed and prevent the next blockage.",),
        bad=(
            "Wean the baby today and the fever disappears.",
            "A sore breast never needs any treatment.",
            "High fever belongs to motherhood.",
            "A lump in a nursing breast is never a problem.",
        ),
        talk=(
            ("Does the antibiotic harm my baby?", "Doctors choose antibiotics that suit breastfeeding. The baby may have looser stools for some days. Tell the doctor if your baby was born early or is ill."),
        ),
    ),
    S(
        "vaginal-thrush", topic="Vaginal thrush", ages=(18, 45), sex="f",
        case="{name}, {age}, has itching and a thick white discharge after antibiotics.",
        say=(
            "I have itching and white discharge after antibiotics.",
            "I am {age} and have had thrush {n} times this year.",
            "I am pregnant and itch a lot down below.",
            "I bought a thrush cream, and the itch is still there.",
        ),
        ask=(
            ("Is it thrush?", "Itching with white discharge fits, but other causes are possible."),
            ("Does my partner need treatment?", "Usually not, unless the partner has symptoms."),
        ),
        net=(0, 1, 0, 1), urgent=(2,), n=(3, 5),
        facts=(
            "Thrush is an overgrowth of yeast that is common after antibiotics.",
            "Thrush is not a sexually transmitted infection.",
            "Discharge with a strong smell points to another cause.",
        ),
        advice=(
            "Wash with plain water and avoid scented products and douching.",
            "Wear cotton underwear and loose clothes.",
            "Use an antifungal cream or pessary as the packet says.",
            "Keep sugar under control if there is diabetes.",
        ),
        medicine=(
            "Antifungal tablets are not suitable in pregnancy; ask for a local treatment.",
            "Creams can weaken condoms, so wait until treatment is over.",
        ),
        warn=(
            "See a clinician for a first episode, in pregnancy, or before the age of 16.",
            "Get checked if it returns four times a year or treatment fails.",
            "Seek care soon for fever, belly pain, sores or foul-smelling discharge.",
        ),
        follow=("If it keeps returning, a swab and a sugar test are sensible.",),
        bad=(
            "Every itch down there is thrush, without exception.",
            "Scented sprays wash it all away.",
            "Sores in that place mean nothing.",
            "Any tablet is fine in pregnancy.",
        ),
        talk=(
            ("Does yoghurt help?", "There is no good proof that it cures thrush, and sugar in it may irritate the skin. Licensed antifungal creams work within days, so choose those, and be seen if they fail."),
        ),
    ),
    S(
        "postnatal-low-mood", topic="Low mood after birth", ages=(20, 40), sex="f",
        case="{name}, {age}, gave birth two months ago and feels that she fails as a mother.",
        say=(
            "I had a baby {n} weeks ago and cry all day.",
            "I am {age}, have a newborn and feel nothing for her.",
            "My wife cannot sleep even when the baby sleeps.",
            "I am afraid of being alone with my baby.",
        ),
        ask=(
            ("Is this just the baby blues?", "Baby blues pass within two weeks, so anything longer needs help."),
            ("Does this make someone a bad mother?", "No, this is a common illness, and it can be treated."),
        ),
        net=(0, 0, 0, 1), urgent=(3,), n=(3, 9),
        facts=(
            "Baby blues come in the first days after birth and pass within two weeks.",
            "Postnatal depression affects about one in ten mothers, and it is treatable.",
            "Feeling guilty or distant from the baby is a symptom and not a failure.",
        ),
        advice=(
            "Tell your partner, midwife or doctor exactly how you feel.",
            "Share night feeds and sleep whenever possible.",
            "Accept help with meals and housework.",
            "Go outside once a day, and meet other parents.",
        ),
        medicine=(
            "Several antidepressants are compatible with breastfeeding; a doctor will choose.",
            "Do not stop mood tablets on your own after birth.",
        ),
        warn=(
            "See a doctor this week if low mood lasts beyond two weeks.",
            "Call emergency services for thoughts of harming yourself or the baby.",
            "Get help today for confusion, strange beliefs or voices after birth.",
        ),
        follow=("Support visits and talking therapy usually start within a few weeks.",),
        bad=(
            "Mothers have to be happy, so be happy.",
            "Hearing voices is part of tiredness.",
            "Keep it secret, or people will talk.",
            "All women cry, and nothing helps.",
        ),
        talk=(("Will they take my baby away?", "No, asking for help shows that you care. The aim of treatment is that you and your baby are well and stay together. Most mothers recover fully with support."),),
    ),
]
