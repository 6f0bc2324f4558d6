"""English scenarios: heart, vessels and blood."""

from scenario import Scenario as S

SCENARIOS = [
    S(
        "hypertension-home-readings", topic="Home blood pressure readings", ages=(42, 78),
        case="{name}, {age}, was told to measure blood pressure at home for a week.",
        say=(
            "My blood pressure at home is about 150 over 92.",
            "I am {age} and every reading on my cuff is different.",
            "My mother's pressure is high at the clinic and lower at home.",
            "I bought a blood pressure monitor {n} days ago.",
        ),
        ask=(
            ("How should I measure it properly?", "Sit quietly for five minutes, arm at heart height, and take two readings."),
            ("Which readings are too high?", "An average of 135 over 85 or more at home counts as high."),
        ),
        net=(0, 0, 0, 0),
        facts=(
            "Home readings taken calmly show the true pressure better than a single clinic reading.",
            "An average of 135 over 85 or more at home usually counts as high.",
            "Talking, coffee, a full bladder or a small cuff can push a reading up.",
        ),
        advice=(
            "Sit still for five minutes with feet flat and the arm resting at heart height.",
            "Take two readings a minute apart, morning and evening, for seven days.",
            "Write down every reading and bring the list to the appointment.",
            "Use a cuff for the upper arm that fits the arm.",
            "Cut down on salt, walk most days and keep alcohol low.",
        ),
        medicine=(
            "Do not change or stop blood pressure tablets because of one odd reading.",
            "Tell the clinician about painkillers such as ibuprofen, since they can raise blood pressure.",
        ),
        warn=(
            "Make an appointment if the weekly average is 135 over 85 or higher.",
            "Call the clinic the same day for repeated readings above 180 over 120.",
            "Call emergency services for chest pain, weakness on one side or severe headache.",
        ),
        follow=(
            "The clinician uses the average of the week to decide about treatment.",
            "Once the pressure is at target, a check every few months is usually enough.",
        ),
        bad=(
            "Blood pressure without symptoms never does any harm.",
            "Just pick the lowest number and forget the others.",
            "Home monitors are toys, so throw yours away.",
            "At your age any value is normal.",
        ),
        talk=(
            ("Which arm should I use?", "Measure both arms the first time and then use the one with the higher reading. Tell the clinic if the two arms differ by more than 15 points on repeated checks."),
            ("My wrist monitor is easier, is that fine?", "Wrist monitors are easily off if the wrist is not at heart height. An upper-arm monitor with the right cuff is more reliable, so prefer that for decisions about treatment."),
        ),
    ),
    S(
        "hypertension-new-tablet-dizziness", topic="Dizziness after a new blood pressure tablet", ages=(55, 82),
        case="{name}, {age}, feels light-headed on standing since starting a new blood pressure tablet.",
        say=(
            "I started a new blood pressure tablet {n} days ago and feel dizzy.",
            "My father, {age}, sways when he gets up since his dose was raised.",
            "I feel light-headed every morning after my blood pressure tablets.",
            "I nearly fell in the bathroom after starting my new tablet.",
        ),
        ask=(
            ("Should the tablet be stopped?", "Do not stop it on your own; call the clinic and ask about the dose."),
            ("Will the dizziness pass?", "Often it fades within some weeks, but it should be reported now."),
        ),
        net=(0, 1, 0, 1),
        facts=(
            "New blood pressure tablets can lower the pressure on standing, above all in the first weeks.",
            "Heat, too little drinking and alcohol make this dizziness stronger.",
            "Falls are a real danger for older people who are light-headed.",
        ),
        advice=(
            "Get up in stages: sit on the edge of the bed for a minute first.",
            "Sit or lie down at once when the dizziness starts.",
            "Measure blood pressure sitting and then after one minute of standing.",
            "Drink regularly unless a clinician has limited fluids.",
            "Keep a night light on, and hold on to something in the bathroom.",
        ),
        medicine=(
            "Keep taking the tablets until a clinician advises otherwise, and ask today if it is bad.",
            "Ask about the time of day, as evening doses suit some people better.",
        ),
        warn=(
            "Call the clinic this week if the dizziness comes back daily.",
            "Get urgent help for fainting, chest pain, a fall with injury or slurred speech.",
            "Call the same day if the upper value is below 100 while feeling unwell.",
        ),
        follow=(
            "Blood pressure and a blood test are often checked two to four weeks after a change.",
        ),
        bad=(
            "Dizziness proves that the tablet works, so enjoy it.",
            "Throw the tablets away and you are cured.",
            "Falls in the bathroom happen to everyone.",
            "Older people are meant to sway a little.",
        ),
        talk=(
            ("Can I still drive?", "Not while you feel light-headed. Wait until you have had several days without dizziness, and ask your doctor if you drive for work or have fainted."),
            ("Would coffee help?", "A cup of coffee may lift the pressure briefly, but it is no solution. Standing up slowly and drinking water help more, and the dose itself may have to be reviewed."),
        ),
    ),
    S(
        "statin-muscle-ache", topic="Muscle ache while taking a statin", ages=(45, 75),
        case="{name}, {age}, takes a statin for cholesterol and has sore thighs.",
        say=(
            "I take a statin and my legs have ached for {n} weeks.",
            "I am {age}, take a cholesterol tablet and have sore muscles.",
            "My husband wants to stop his statin because his shoulders hurt.",
            "My thighs are sore since my statin dose was doubled.",
        ),
        ask=(
            ("Is the statin to blame?", "Perhaps, though many aches have another cause, and a blood test can help to tell."),
            ("Can it be stopped?", "Please speak with the doctor first, because the statin protects heart and brain."),
        ),
        net=(2, 0, 0, 1),
        facts=(
            "Muscle aches are common, and in many people on a statin there is another cause.",
            "Serious muscle damage from statins is rare and shows in a blood test.",
            "Statins lower the risk of heart attack and stroke as long as they are taken.",
        ),
        advice=(
            "Note when the aches began and whether new exercise or medicine came first.",
            "Go on with gentle movement such as walking.",
            "Ask for a blood test of the muscle enzyme and the thyroid.",
            "Keep to food with little saturated fat and plenty of vegetables.",
        ),
        medicine=(
            "Some antibiotics and large amounts of grapefruit juice raise statin levels; ask a pharmacist.",
            "A lower dose or a different statin often solves the problem.",
        ),
        warn=(
            "Talk with the doctor before stopping a statin because of aches.",
            "Seek urgent care for severe muscle pain, weakness or urine as dark as cola.",
            "Arrange a review if aches in both legs last beyond two weeks.",
        ),
        follow=(
            "Cholesterol and liver values are usually checked two or three months after a change.",
        ),
        bad=(
            "Every ache on a statin is imagined.",
            "Stop the tablets today, because cholesterol means nothing.",
            "Brown urine after a new tablet is no cause for thought.",
            "Sore muscles on a statin never need a blood test.",
        ),
        talk=(
            ("Could I take it every second day?", "Some people do well with a lower or less frequent dose, depending on the statin. Please agree on that with your doctor, so that your cholesterol is still under control."),
        ),
    ),
    S(
        "angina-spray", topic="Stable angina and the nitrate spray", ages=(56, 80),
        case="{name}, {age}, gets chest tightness when walking uphill and carries a nitrate spray.",
        say=(
            "I get chest tightness when I walk uphill, and it goes with rest.",
            "I am {age}, have angina, and am unsure how to use my spray.",
            "My father has angina and used his spray {n} times this week.",
            "My angina now comes after only a few steps.",
        ),
        ask=(
            ("How should the spray be used?", "Sit down, use one spray under the tongue, and repeat once after five minutes."),
            ("When is it no longer normal angina?", "When it comes at rest, more often, with less effort or does not pass with spray."),
        ),
        net=(0, 0, 2, 2), urgent=(3,),
        facts=(
            "Angina is chest tightness from a heart muscle that gets too little blood during effort.",
            "Stable angina follows a pattern and settles within minutes of rest or spray.",
            "Angina that is new, stronger or comes at rest can be an early heart attack.",
        ),
        advice=(
            "Stop, sit down and use one spray under the tongue.",
            "Wait five minutes, and use a second spray if pain remains.",
            "Carry the spray at all times and check its expiry date.",
            "Warm up slowly and avoid heavy effort after meals or in cold wind.",
            "Keep a diary of attacks and what brought them on.",
        ),
        medicine=(
            "Never combine nitrate spray with tablets for erection problems.",
            "The spray can cause headache and dizziness, so sit down to use it.",
        ),
        warn=(
            "Call emergency services if pain lasts five minutes after a second spray.",
            "Call an ambulance at once for chest pain at rest with sweating or breathlessness.",
            "See a doctor within days if attacks come more often or with less effort.",
        ),
        follow=(
            "Regular reviews check blood pressure, cholesterol, tablets and the pattern of attacks.",
        ),
        bad=(
            "Chest pain at rest is mere wind.",
            "Nobody really needs the spray at all.",
            "More attacks than before are a sign of training.",
            "Walk on through the pain and the heart gets used to it.",
        ),
        talk=(
            ("Can I use it before exercise?", "Yes, many people use a spray just before an effort that usually brings on angina. Sit down for it the first few times, and discuss with your clinician which activities are safe."),
        ),
    ),
    S(
        "heart-failure-weight", topic="Weight gain in heart failure", ages=(62, 86), heldout=True,
        case="{name}, {age}, has heart failure and gained two kilograms over the weekend.",
        say=(
            "I have heart failure and gained two kilograms in {n} days.",
            "My mother, {age}, has heart failure and her ankles are swelling.",
            "I need more pillows to sleep than last month; I have a weak heart.",
            "My scales go up every morning and my shoes are tight; I have heart failure.",
        ),
        ask=(
            ("Is it water or fat?", "Fast gain over a few days is almost always water in heart failure."),
            ("Should I take an extra water tablet?", "Only if the written plan allows it; otherwise call the heart team first."),
        ),
        net=(0, 0, 2, 2), urgent=(0, 2), n=(2, 3),
        facts=(
            "Fast weight gain in heart failure is usually fluid, not fat.",
            "Fluid collects in the legs and lungs when the heart pumps too weakly.",
            "Salt, missed tablets and some painkillers often start a worsening.",
        ),
        advice=(
            "Weigh every morning after the toilet and before breakfast, in similar clothes.",
            "Keep salt low, and avoid ready meals and salty snacks.",
            "Follow the fluid limit that the heart team has given.",
            "Raise the legs when sitting, and move about gently.",
            "Change the water tablets only as the written plan allows.",
        ),
        medicine=(
            "Avoid ibuprofen and similar painkillers, as they make the body hold fluid.",
            "Take heart tablets every day, also on days that feel good.",
        ),
        warn=(
            "Call the heart team for a gain of two kilograms within three days.",
            "Call emergency services for severe breathlessness, chest pain or fainting.",
            "Get seen the same day if lying flat has become impossible.",
        ),
        follow=(
            "Kidney values and salts in the blood are checked after each change of water tablets.",
        ),
        bad=(
            "Two kilograms in three days is only good food.",
            "Swollen ankles are part of age and never matter.",
            "Scales are for dieters, so put yours away.",
            "Needing four pillows is simply comfort.",
        ),
        talk=(
            ("How much may I drink?", "That depends on your plan; many people are advised about one and a half to two litres a day. Ask your heart team for your own limit, and count soup and fruit as well."),
        ),
    ),
    S(
        "atrial-fibrillation-blood-thinner", topic="Blood thinners in atrial fibrillation", ages=(64, 84),
        case="{name}, {age}, takes a blood thinner for atrial fibrillation and bruises easily.",
        say=(
            "I take a blood thinner for an irregular heartbeat and bruise easily.",
            "I am {age} and forgot my blood thinner this morning.",
            "My father has atrial fibrillation and is afraid of bleeding.",
            "I need a tooth pulled in {n} days and take a blood thinner.",
        ),
        ask=(
            ("Is it safe to go on with it?", "For most people yes, because it prevents strokes; do not stop it on your own."),
            ("What must I look out for?", "Watch for bleeding that continues, black stools, and any blow to the head."),
        ),
        net=(2, 1, 2, 0),
        facts=(
            "Atrial fibrillation can let clots form in the heart, which may cause a stroke.",
            "Blood thinners lower the risk of stroke by about two thirds.",
            "Small bruises are common with blood thinners and usually harmless.",
        ),
        advice=(
            "Take the blood thinner at the same time every day and use a weekly pill box.",
            "Carry a card that names the blood thinner.",
            "Use a soft toothbrush and wear gloves for rough work.",
            "Tell dentists, pharmacists and doctors about the blood thinner.",
        ),
        medicine=(
            "Never double a dose; ask a pharmacist how late a missed dose may be taken.",
            "Avoid aspirin, ibuprofen and herbal products unless a clinician agrees.",
        ),
        warn=(
            "Get emergency care after a blow to the head, even if you feel well.",
            "Call an ambulance for a drooping face, a weak arm or slurred speech.",
            "See a doctor promptly for black stools, blood in urine or bleeding that continues.",
        ),
        follow=(
            "Kidney function and blood count are usually checked at least once a year.",
        ),
        bad=(
            "Skip the tablet whenever a bruise shows up.",
            "Black stools only mean that you ate something dark.",
            "A knock on the head is nothing with these tablets.",
            "Dentists need not know what you take.",
        ),
        talk=(
            ("Do I stop it before the dentist?", "Do not stop it by yourself. For many dental treatments it is continued, and the dentist stops bleeding locally. Call the dentist and your doctor beforehand so they can agree on a plan."),
        ),
    ),
    S(
        "palpitations-coffee", topic="Palpitations and caffeine", ages=(20, 45), heldout=True,
        case="{name}, {age}, feels an occasional thump in the chest on busy days with much coffee.",
        say=(
            "My heart skips a beat several times a day.",
            "I am {age} and my heart races when I drink energy drinks.",
            "I have felt a fluttering in my chest for {n} weeks, mostly in bed.",
            "My sister gets palpitations before exams.",
        ),
        ask=(
            ("Is it a heart disease?", "Probably not if the beats are brief and you feel well, but have it checked once."),
            ("Could it be the coffee?", "Yes, caffeine is a common trigger, so leave it out for two weeks."),
        ),
        net=(0, 0, 0, 1),
        facts=(
            "Extra heartbeats are common in healthy people and often feel like a skipped beat.",
            "Caffeine, alcohol, stress, fever and poor sleep can bring palpitations on.",
            "An overactive thyroid or low iron may also make the heart race.",
        ),
        advice=(
            "Cut down coffee and energy drinks for two weeks and watch the effect.",
            "Note the time, length and pulse rate of each episode.",
            "Breathe slowly for a few minutes when an episode starts.",
            "Sleep regularly and keep alcohol low.",
        ),
        medicine=(
            "Decongestants and some inhalers can make the heart race; ask a pharmacist.",
            "Do not take heart tablets that were prescribed for somebody else.",
        ),
        warn=(
            "See a doctor if palpitations come back often or last several minutes.",
            "Call emergency services for palpitations with chest pain, fainting or breathlessness.",
            "Get checked soon if a young relative died suddenly of a heart problem.",
        ),
        follow=(
            "A heart tracing and a blood test are the usual first checks.",
            "A portable recorder can be worn for some days if episodes are rare.",
        ),
        bad=(
            "Young hearts are always healthy, full stop.",
            "Drink more coffee until the heart is used to it.",
            "Fainting with a racing heart is simply drama.",
            "It is all in your mind.",
        ),
        talk=(
            ("Can I keep exercising?", "Gentle exercise is usually fine if palpitations are brief and you feel well. Stop and get advice if they come during exercise or with dizziness, chest pain or breathlessness."),
        ),
    ),
    S(
        "leg-clot-after-flight", topic="A swollen calf after a long flight", ages=(28, 70),
        case="{name}, {age}, noticed a swollen, tender calf after a ten-hour flight.",
        say=(
            "My left calf is swollen and sore since a long flight.",
            "I flew for eleven hours {n} days ago and my leg hurts.",
            "My wife, {age}, has a warm, red calf after a bus trip.",
            "I take the pill and my calf feels tight after a flight.",
        ),
        ask=(
            ("Could it be a clot?", "Yes, it could be, so the leg needs an examination today."),
            ("Can I wait and see?", "No, please have it checked today, as a clot can move to the lungs."),
        ),
        net=(0, 0, 0, 0), urgent=(0, 1, 2, 3), n=(2, 4),
        facts=(
            "A clot in a deep leg vein often causes swelling, pain and warmth in one calf.",
            "Long sitting, recent surgery, pregnancy and hormone tablets raise the risk of clots.",
            "A piece of clot can travel to the lungs, which is dangerous.",
        ),
        advice=(
            "Have the leg examined today, and do not wait for the weekend to pass.",
            "Do not massage the calf.",
            "Compare both calves and note since when the swelling has been there.",
            "Mention recent travel, operations, pregnancy and hormone tablets.",
            "On later trips, walk every hour, move the ankles and drink water.",
        ),
        medicine=(
            "Do not rely on aspirin to treat a possible clot.",
            "Bring a list of tablets, including contraceptives and hormones.",
        ),
        warn=(
            "See a doctor today about new swelling or pain in one calf.",
            "Call emergency services for sudden breathlessness, chest pain or coughing blood.",
            "Go to urgent care now if the leg turns pale, cold or blue.",
        ),
        follow=(
            "An ultrasound scan and a blood test can show quickly whether there is a clot.",
        ),
        bad=(
            "Swelling on one side always comes from the seat.",
            "Rub the calf hard and the matter is done.",
            "Clots only happen to very old people.",
            "Breathlessness after a flight is just jet lag.",
        ),
        talk=(
            ("Would compression socks have prevented it?", "They lower the risk a little on long flights, together with walking and drinking water. Ask a doctor before the next trip whether you need more protection, for example after a clot."),
        ),
    ),
    S(
        "varicose-veins-standing", topic="Varicose veins in people who stand all day", ages=(32, 68),
        case="{name}, {age}, works at a shop counter and has heavy legs every evening.",
        say=(
            "I stand all day and my legs feel heavy in the evening.",
            "I am {age} and the veins on my legs bulge.",
            "My mother has varicose veins and an itchy brown patch near the ankle.",
            "My veins have ached for {n} weeks of hot weather.",
        ),
        ask=(
            ("Is an operation needed?", "Seldom; walking, raised legs and stockings are tried first."),
            ("What eases the heavy feeling?", "Walking breaks, raised legs in the evening and compression stockings."),
        ),
        net=(0, 0, 0, 0),
        facts=(
            "Varicose veins form when the valves in leg veins no longer close tightly.",
            "Standing still, pregnancy and family history make varicose veins more likely.",
            "Brown, itchy skin near the ankle is a sign of long-standing pressure.",
        ),
        advice=(
            "Walk for a few minutes every hour, and rise on the toes while standing.",
            "Put the legs up above heart level for fifteen minutes in the evening.",
            "Ask to be measured for compression stockings and put them on in the morning.",
            "Moisturise dry skin on the lower legs daily.",
        ),
        medicine=(
            "Compression needs a check of the leg arteries first in people with diabetes or poor circulation.",
            "Vein creams and pills help little; ask before spending money on them.",
        ),
        warn=(
            "See a doctor about skin changes, a sore near the ankle or daily pain.",
            "Get same-day care for a hot, hard vein or a calf that swells suddenly.",
            "Press firmly, raise the leg and call for help if a vein bleeds heavily.",
        ),
        follow=(
            "An ultrasound shows which vein leaks and whether closing it would help.",
        ),
        bad=(
            "Bulging veins are never more than a blemish.",
            "An open sore at the ankle dries up if ignored.",
            "Stand still even longer so the legs get stronger.",
            "Stockings are a fashion and do nothing.",
        ),
        talk=(
            ("Will they come back after treatment?", "New varicose veins can appear over the years, since the tendency remains. Walking, keeping a healthy weight and wearing stockings on long standing days make that less likely."),
        ),
    ),
    S(
        "anaemia-iron-tablets", topic="Iron tablets for anaemia", ages=(19, 49), sex="f",
        case="{name}, {age}, has heavy periods, low iron and stomach ache from her iron tablets.",
        say=(
            "My iron is low and the tablets make me constipated.",
            "I am {age} and have taken iron for {n} weeks without feeling better.",
            "My daughter has low iron and her stools have turned black.",
            "I am always tired, and my blood test shows low iron.",
        ),
        ask=(
            ("How should iron be taken?", "Take it with water or orange juice, and away from tea, coffee and milk."),
            ("How long will it take?", "The blood recovers over weeks, and the stores need about three months more."),
        ),
        net=(0, 2, 1, 0),
        facts=(
            "Low iron is often due to heavy periods, too little iron in food or hidden bleeding.",
            "Iron tablets turn stools dark, which is harmless.",
            "Blood recovers over weeks, and iron stores need about three more months.",
        ),
        advice=(
            "Take one tablet a day or every second day on an empty stomach if tolerated.",
            "Take iron with water or orange juice and not with tea, coffee or milk.",
            "Eat beans, lentils, red meat, eggs and green vegetables.",
            "Drink enough and eat fibre to prevent constipation.",
        ),
        medicine=(
            "Keep iron tablets out of reach of children, because an overdose is dangerous.",
            "Leave a gap of some hours between iron and thyroid tablets or antibiotics.",
        ),
        warn=(
            "See a doctor to find the cause of low iron, also if you feel fine.",
            "Get urgent help for breathlessness at rest, chest pain, fainting or tarry, sticky stools.",
            "Book a review if tiredness is no better after four weeks of iron.",
        ),
        follow=(
            "A blood count is usually repeated after two to four weeks.",
        ),
        bad=(
            "Low iron in women is normal, so ask no questions.",
            "More iron is always better, so take extra.",
            "Fainting with low iron is nothing special.",
            "Tiredness comes from laziness.",
        ),
        talk=(
            ("Can I stop when I feel better?", "Better wait. Feeling well comes before the stores are full, so iron is usually continued for about three months after the blood count is normal. Your doctor will check."),
        ),
    ),
]
