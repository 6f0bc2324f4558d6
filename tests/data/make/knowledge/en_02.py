"""English scenarios: heart, vessels, metabolism, kidneys and blood."""

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
        ask=("How should I measure it properly?", "Which readings are too high?"),
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
        ask=("Should I stop the tablet?", "Will the dizziness pass?"),
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
            "I am {age} and read that cholesterol tablets damage muscles.",
            "My husband wants to stop his statin because his shoulders hurt.",
            "My thighs are sore since my statin dose was doubled.",
        ),
        ask=("Is the statin to blame?", "Can I stop taking it?"),
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
            "Double the dose and the soreness will leave.",
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
        ask=("How should the spray be used?", "When is it no longer normal angina?"),
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
            "The spray is for emergencies of other people, not for you.",
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
        ask=("Is it water or fat?", "Should I take an extra water tablet?"), n=(2, 3),
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
        ask=("Is it safe to go on with it?", "What must I look out for?"),
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
        ask=("Is my heart ill?", "Could it be the coffee?"),
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
        ask=("Could it be a clot?", "Can I wait and see?"), n=(2, 4),
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
        ask=("Do I need an operation?", "What eases the heavy feeling?"),
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
            "Bulging veins are beauty marks and nothing else.",
            "An open sore at the ankle dries up if ignored.",
            "Stand still even longer so the legs get stronger.",
            "Stockings are a fashion and do nothing.",
        ),
        talk=(
            ("Will they come back after treatment?", "New varicose veins can appear over the years, since the tendency remains. Walking, keeping a healthy weight and wearing stockings on long standing days make that less likely."),
        ),
    ),
    S(
        "type2-diabetes-new-diagnosis", topic="Newly found type 2 diabetes", ages=(40, 70),
        case="{name}, {age}, was told last week that a blood test shows type 2 diabetes.",
        say=(
            "I was told {n} days ago that I have type 2 diabetes.",
            "I am {age} and my long-term sugar value came back too high.",
            "My father has just been diagnosed with diabetes and eats a lot of bread.",
            "I feel well, but my doctor says that I have diabetes.",
        ),
        ask=("What should change first?", "Do I have to give up all sugar?"),
        facts=(
            "In type 2 diabetes the body responds poorly to insulin, so sugar stays in the blood.",
            "Early treatment protects eyes, kidneys, nerves, heart and feet.",
            "Losing some weight can bring blood sugar down markedly, above all in the first years.",
        ),
        advice=(
            "Fill half the plate with vegetables and choose whole grains in small portions.",
            "Replace sweet drinks and juice with water or unsweetened tea.",
            "Walk for half an hour on most days, also after meals.",
            "Book the eye check, foot check and urine test that belong to a new diagnosis.",
            "Join a diabetes education course if one is offered.",
        ),
        medicine=(
            "Take tablets such as metformin with food and as prescribed, also on good days.",
            "Ask which tablets can cause low sugar before driving or fasting.",
        ),
        warn=(
            "Call the clinic if sugar stays above 15 mmol/l or you lose weight fast.",
            "Get urgent help for vomiting, deep breathing, drowsiness or confusion.",
            "See a doctor soon about numb feet, wounds or blurred vision.",
        ),
        follow=(
            "The long-term sugar value is checked every three months until it is stable.",
        ),
        bad=(
            "Diabetes without symptoms is not a real illness.",
            "Eat what you like, since sugar has no influence.",
            "Eyes and kidneys never suffer from this.",
            "Tests are only for people on insulin.",
        ),
        talk=(
            ("May I still eat fruit?", "Yes, whole fruit is fine in moderate portions, about two or three a day. Prefer whole fruit to juice, because juice raises blood sugar quickly and does not fill you."),
            ("Can it go away?", "Some people reach normal values after losing weight, which is called remission. It needs continued checks, because the sugar can rise again if weight or habits change."),
        ),
    ),
    S(
        "metformin-upset-stomach", topic="Stomach upset from metformin", ages=(42, 74),
        case="{name}, {age}, has had loose stools since starting metformin.",
        say=(
            "I started metformin {n} days ago and have diarrhoea.",
            "I am {age} and metformin makes me feel sick.",
            "My wife wants to stop her metformin because of stomach cramps.",
            "My stomach rumbles all day since my metformin was increased.",
        ),
        ask=("Should I stop metformin?", "Does this side effect go away?"),
        facts=(
            "Nausea and loose stools are common in the first weeks of metformin and often pass.",
            "A slow increase of the dose makes stomach trouble less likely.",
            "Metformin lowers sugar without causing low values when taken alone.",
        ),
        advice=(
            "Take metformin during or right after a meal.",
            "Eat smaller, less fatty meals for a week or two.",
            "Drink enough while the stools are loose.",
            "Ask about a slow-release tablet, which is easier on the stomach.",
        ),
        medicine=(
            "Pause metformin while vomiting or unable to drink, and ask the clinic when to restart.",
            "Tell staff about metformin before a scan with contrast dye or an operation.",
        ),
        warn=(
            "Call the clinic if diarrhoea lasts beyond two weeks or sugar rises.",
            "Get urgent care for repeated vomiting, fast breathing or unusual drowsiness.",
            "See a doctor if weight drops or there is blood in the stool.",
        ),
        follow=(
            "Kidney function and vitamin B12 are checked from time to time during treatment.",
        ),
        bad=(
            "Stop every tablet at once and diabetes will vanish.",
            "Vomiting for days on metformin is a cleansing.",
            "Side effects are invented by nervous people.",
            "Take it on an empty stomach and be brave.",
        ),
        talk=(
            ("Is the slow-release tablet just as good?", "Yes, it lowers blood sugar just as well and many people tolerate it better. It is swallowed whole, usually with the evening meal. Ask your doctor for a switch."),
        ),
    ),
    S(
        "diabetes-foot-care", topic="Foot care in diabetes", ages=(52, 82),
        case="{name}, {age}, has diabetes, numb toes and a blister from new shoes.",
        say=(
            "I have diabetes and found a blister on my toe.",
            "My mother, {age}, has diabetes and cannot feel her toes well.",
            "My heel has had a crack for {n} weeks; I am diabetic.",
            "I have diabetes and want to remove a corn myself.",
        ),
        ask=("How do I look after my feet?", "Is a small sore a problem?"),
        facts=(
            "Diabetes can dull the feeling in the feet, so injuries go unnoticed.",
            "High sugar and poor circulation let small sores turn into deep ulcers.",
            "Daily checks and good shoes prevent most foot ulcers.",
        ),
        advice=(
            "Look at both feet every day, between the toes and on the soles, with a mirror.",
            "Wash with lukewarm water, dry well and use cream, but not between the toes.",
            "Feel inside the shoes for stones before putting them on.",
            "Never walk barefoot, also not at home or on the beach.",
            "Cover a small wound with a clean dry dressing and rest the foot.",
        ),
        medicine=(
            "Do not use corn plasters, because their acid can burn the skin.",
            "Do not warm cold feet with hot-water bottles, which can cause burns.",
        ),
        warn=(
            "Show any sore, blister or colour change to a foot clinic within a day.",
            "Get urgent care for spreading redness, pus, a bad smell or fever.",
            "Go to hospital at once if a toe turns black or the foot is cold and painful.",
        ),
        follow=(
            "Feeling and pulses in the feet should be examined at least once a year.",
        ),
        bad=(
            "A sore that does not hurt is not worth a glance.",
            "Cut the corn out with a kitchen knife.",
            "Numb toes are practical, since nothing hurts.",
            "Walk barefoot and the skin hardens.",
        ),
        talk=(
            ("Who should cut her nails?", "If she sees and feels well, she can cut straight across after a bath. With numbness, thick nails or poor sight, let a podiatrist do it, to avoid small cuts."),
        ),
    ),
    S(
        "type1-diabetes-sick-day", topic="Sick days in type 1 diabetes", ages=(15, 45),
        case="{name}, {age}, has type 1 diabetes and has been vomiting since the morning.",
        say=(
            "I have type 1 diabetes, a stomach bug and cannot eat.",
            "My daughter, {age}, has type 1 diabetes and a fever.",
            "I have type 1 diabetes and my sugar has been high for {n} hours.",
            "My type 1 diabetes is hard to control while I have the flu.",
        ),
        ask=("Do I skip insulin when I do not eat?", "How often should I test?"), n=(5, 9),
        facts=(
            "Illness raises blood sugar, so insulin is needed even without food.",
            "Without enough insulin the body makes ketones, which can become dangerous within hours.",
            "Vomiting in type 1 diabetes can be a sign of ketoacidosis.",
        ),
        advice=(
            "Keep taking the long-acting insulin, always.",
            "Test sugar every two to four hours, and ketones as well.",
            "Sip fluids every few minutes, sugar-free if the sugar is high.",
            "Use the written sick-day rules for extra doses.",
            "Ask someone to stay nearby until the illness has passed.",
        ),
        medicine=(
            "Check insulin for its expiry date and the pump or pen for blockage.",
            "Ask the diabetes team which other tablets to pause during vomiting.",
        ),
        warn=(
            "Call the diabetes team the same day if ketones are above 1.5.",
            "Go to hospital now for ketones above 3, repeated vomiting or drowsiness.",
            "Call emergency services for confusion, deep breathing or a person who cannot be woken.",
        ),
        follow=(
            "Go over the sick-day plan with the team at each yearly review.",
        ),
        bad=(
            "Without food there is no need for insulin.",
            "Ketones are only interesting for researchers.",
            "Vomiting brings the sugar down nicely.",
            "Put the meter away until you feel better.",
        ),
        talk=(
            ("What can I drink if I keep vomiting?", "Try one or two sips every five minutes. If even sips do not stay down, or ketones rise, you need treatment in hospital with a drip, so go without delay."),
        ),
    ),
    S(
        "low-sugar-on-insulin", topic="Low blood sugar on insulin", ages=(30, 76),
        case="{name}, {age}, uses insulin and felt shaky and sweaty before lunch.",
        say=(
            "I use insulin and was shaky and sweaty before lunch.",
            "My husband, {age}, had low sugar {n} times this week.",
            "I take insulin and woke at night with a pounding heart and damp sheets.",
            "I inject insulin and my meter showed 3.2 this afternoon.",
        ),
        ask=("How do I treat it correctly?", "How can I prevent the next one?"), n=(2, 4),
        facts=(
            "Low sugar means a value below 4 mmol/l and needs treatment at once.",
            "Missed meals, exercise, alcohol and too much insulin are the usual causes.",
            "After several low values the warning signs can become weaker.",
        ),
        advice=(
            "Take 15 grams of fast sugar, such as a small glass of juice.",
            "Test again after fifteen minutes and repeat if still below 4.",
            "Eat a slice of bread afterwards if the next meal is far away.",
            "Carry glucose tablets, also beside the bed and in the car.",
            "Write down when it happened, with food, exercise and dose.",
        ),
        medicine=(
            "Keep the long-acting dose, but ask the team to review it after repeated lows.",
            "Make sure that a relative knows how to use a glucagon kit.",
        ),
        warn=(
            "Call the diabetes team after two lows in a week or any low at night.",
            "Call emergency services if the person is drowsy, has a fit or cannot swallow.",
            "Do not drive, and seek advice soon, if lows come without any warning.",
        ),
        follow=(
            "A glucose sensor with an alarm may be offered if lows keep coming back.",
        ),
        bad=(
            "Shaking is just hunger and of no interest.",
            "Drive on, because low sugar passes at the wheel.",
            "Nights with low sugar are good for losing weight.",
            "Give a drowsy person plenty of cola to gulp.",
        ),
        talk=(
            ("Is chocolate as good as juice?", "No, the fat in chocolate slows the sugar down. Juice, glucose tablets or ordinary sugary drinks act faster. Keep the chocolate for later, when your value is safe again."),
            ("When may I drive again?", "Stop, treat the low and wait at least 45 minutes after your sugar is back above 5, since the brain recovers slowly. Check before every drive and on long trips."),
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
        ask=("Will my baby be all right?", "What should I eat now?"),
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
        "underactive-thyroid-tablets", topic="Taking thyroid hormone correctly", ages=(28, 72),
        case="{name}, {age}, takes thyroid hormone with breakfast coffee and still feels tired.",
        say=(
            "I take thyroid tablets and am still tired after {n} weeks.",
            "I am {age} and take my thyroid tablet with my coffee.",
            "My sister forgets her thyroid tablets on weekends.",
            "I have an underactive thyroid and want to become pregnant.",
        ),
        ask=("Am I taking it correctly?", "Does my dose need a change?"), n=(3, 8),
        facts=(
            "Thyroid hormone is absorbed best on an empty stomach with plain water.",
            "Coffee, calcium, iron and some stomach tablets reduce how much is absorbed.",
            "Blood values need about six weeks to settle after a change of dose.",
        ),
        advice=(
            "Take the tablet half an hour before breakfast with a glass of water.",
            "Leave four hours between thyroid hormone and iron or calcium.",
            "Keep to the same time and the same brand if possible.",
            "Put the tablets beside the toothbrush as a reminder.",
        ),
        medicine=(
            "Do not take extra tablets for more energy, since too much strains heart and bones.",
            "Tell the doctor early when planning a pregnancy, as the dose often has to rise.",
        ),
        warn=(
            "Ask for a blood test if tiredness, cold or weight gain goes on.",
            "See a doctor promptly for a racing heart, tremor or chest pain on the tablets.",
            "Seek urgent help for confusion, unusual drowsiness or feeling very cold.",
        ),
        follow=(
            "Once the value is stable, one blood test a year is usually enough.",
        ),
        bad=(
            "Timing is irrelevant, so swallow it with anything.",
            "Double the dose for more energy.",
            "Stop the tablets as soon as you feel well.",
            "Blood tests for the thyroid are pure habit.",
        ),
        talk=(
            ("I missed one this morning, what now?", "Take it when you remember if that is the same day and your stomach is fairly empty. If it is already tomorrow, just take the usual dose and do not double it."),
        ),
    ),
    S(
        "gout-attack", topic="An acute attack of gout", ages=(44, 76),
        case="{name}, {age}, woke at night with a red and very painful big toe.",
        say=(
            "My big toe is red, hot and so painful that I cannot bear a sheet on it.",
            "I am {age} and had gout before; my foot has been swollen for {n} days.",
            "My father's toe flared up after a big dinner with beer.",
            "My gout came back although I take allopurinol.",
        ),
        ask=("What helps against gout now?", "Should I change what I eat?"), n=(2, 3),
        facts=(
            "Gout is caused by crystals of uric acid that inflame a joint.",
            "Attacks often begin at night and settle within one or two weeks.",
            "Alcohol, dehydration, water tablets and kidney disease make attacks more likely.",
        ),
        advice=(
            "Rest the joint, raise the foot and cool it for twenty minutes at a time.",
            "Drink plenty of water, unless fluids are limited.",
            "Avoid beer, spirits, sweet drinks and large portions of meat.",
            "Protect the toe from pressure with open shoes.",
        ),
        medicine=(
            "Go on with allopurinol during an attack if it is already taken; do not start it alone.",
            "Ask before using ibuprofen with kidney disease, stomach ulcers or blood thinners.",
        ),
        warn=(
            "See a doctor the same day for a first attack or strong pain.",
            "Get urgent care for a hot joint with fever or chills.",
            "Book a review if attacks come twice a year or more.",
        ),
        follow=(
            "Uric acid is measured some weeks after the attack and then treated to a target.",
        ),
        bad=(
            "A hot joint with fever is a sign of good healing.",
            "Beer flushes the crystals out, so drink up.",
            "March on the toe until it gives in.",
            "Gout is a joke and never harms a joint.",
        ),
        talk=(
            ("Do I need tablets for life?", "Many people with repeated attacks take a daily tablet that lowers uric acid for years. It prevents attacks and joint damage as long as it is taken, so discuss it after this attack."),
        ),
    ),
    S(
        "kidney-disease-painkillers", topic="Painkillers in chronic kidney disease", ages=(54, 82),
        case="{name}, {age}, has chronic kidney disease and takes ibuprofen for a sore knee.",
        say=(
            "I have weak kidneys and take ibuprofen for my knee.",
            "I am {age}, have kidney disease and back pain.",
            "My mother has chronic kidney disease and needs something for headaches.",
            "I have kidney disease and took anti-inflammatory tablets for {n} days.",
        ),
        ask=("Which painkiller is safe for me?", "Could it harm my kidneys?"),
        facts=(
            "Ibuprofen and similar tablets reduce blood flow to the kidneys.",
            "Kidney damage from painkillers often causes no symptoms at first.",
            "Blood pressure control protects the kidneys more than any diet pill.",
        ),
        advice=(
            "Avoid ibuprofen, diclofenac and naproxen, also those sold without prescription.",
            "Use heat, gentle exercise and supports for joint pain.",
            "Measure blood pressure regularly and keep salt low.",
            "Show the kidney diagnosis to every pharmacist.",
        ),
        medicine=(
            "Paracetamol in the usual dose is often the safer choice; confirm it with a pharmacist.",
            "Pause water tablets and some others on days of vomiting only as the clinic has advised.",
        ),
        warn=(
            "Ask the doctor for a blood test if such tablets were taken for days.",
            "Get urgent help for hardly any urine, swelling of the face or breathlessness.",
            "Call the clinic the same day for vomiting or diarrhoea with kidney disease.",
        ),
        follow=(
            "Kidney blood and urine tests are repeated every few months, depending on the stage.",
        ),
        bad=(
            "Tablets sold without prescription cannot hurt a kidney.",
            "Kidneys repair themselves whatever you swallow.",
            "Passing no urine saves you a walk.",
            "Take two kinds of painkiller together for good measure.",
        ),
        talk=(
            ("Is a painkiller gel allowed?", "Little of a gel enters the blood, so it may be an option on a small area for a short time. Ask your doctor or pharmacist first, as advanced kidney disease needs more care."),
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
        ask=("How should iron be taken?", "How long will it take?"),
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
            "Take ten tablets at once to save time.",
            "Fainting is simply a female habit.",
            "Tiredness comes from laziness.",
        ),
        talk=(
            ("Can I stop when I feel better?", "Better wait. Feeling well comes before the stores are full, so iron is usually continued for about three months after the blood count is normal. Your doctor will check."),
        ),
    ),
]
