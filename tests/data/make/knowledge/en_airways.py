"""English scenarios: airways and smoking."""

from scenario import Scenario as S

SCENARIOS = [
    S(
        "asthma-inhaler-technique", topic="Asthma inhaler technique", ages=(16, 68), heldout=True,
        case="{name}, {age}, uses a reliever inhaler several times a week and still feels a tight chest.",
        say=(
            "I am {age} and my inhaler does not seem to reach my lungs.",
            "My asthma inhaler leaves a taste in my mouth and I still wheeze.",
            "My partner is {age} and gets no relief after two puffs of her inhaler.",
            "I was given a new inhaler {n} weeks ago and nobody showed me how to use it.",
        ),
        ask=(
            ("Is it being used the right way?", "Often it is not; most people need to practise the steps once with a nurse."),
            ("How is it meant to be used?", "Press once just as a slow, deep breath in begins, then hold the breath for ten seconds."),
        ),
        net=(2, 0, 2, 0), urgent=(0, 2),
        facts=(
            "Many people with asthma press the inhaler too early, so the spray lands in the mouth.",
            "A spacer slows the spray down and lets more medicine reach the small airways.",
            "Poor technique can look like worsening asthma although the medicine itself is right.",
        ),
        advice=(
            "Shake the inhaler, breathe out gently, then press once as a slow, deep breath in begins.",
            "Hold the breath for about ten seconds, then wait half a minute before the second puff.",
            "Use a spacer if one is available, with one puff at a time.",
            "Rinse the mouth after a steroid inhaler to prevent soreness and thrush.",
            "Ask a nurse or pharmacist to watch one dose being taken.",
        ),
        medicine=(
            "Keep taking the preventer inhaler every day, even on days without symptoms.",
            "Check the dose counter, because an empty inhaler can still make a spray sound.",
        ),
        warn=(
            "Book a review soon if the reliever is needed more than twice a week.",
            "Call emergency services if speaking a full sentence is hard or the lips look blue.",
            "Get urgent help if the reliever does not help or wears off within four hours.",
        ),
        follow=(
            "Write down how often the reliever is used and bring the notes to the asthma review.",
            "A nurse can check technique again in a few weeks and update the written asthma plan.",
        ),
        bad=(
            "Inhalers work however you hold them, so technique makes no difference.",
            "Just take as many puffs as you like until it feels better.",
            "A little wheeze is normal and can always be ignored.",
            "You clearly know what you are doing, so nothing needs checking.",
        ),
        talk=(
            ("Is a spacer only for children?", "No, adults benefit too. A spacer makes timing easier and brings more medicine into the lungs. Wash it now and then and let it dry in the air, without rubbing."),
            ("How do I know if it is getting worse?", "Needing the reliever more often, waking at night or stopping exercise early are signs of poor control. Tell your nurse or doctor within a few days, and sooner if you feel breathless at rest."),
        ),
    ),
    S(
        "asthma-night-cough", topic="Night-time cough in asthma", ages=(18, 60),
        case="{name}, {age}, has asthma and now wakes most nights with a dry cough.",
        say=(
            "I have asthma and a dry cough wakes me {n} nights a week.",
            "At {age} my asthma was quiet for years, but now I cough every night.",
            "My brother has asthma and coughs a lot between midnight and morning.",
            "My cough is fine by day and comes back as soon as I lie down; I have asthma.",
        ),
        ask=(
            ("Does this mean the asthma is not controlled?", "Yes, a cough that wakes you at night usually means that asthma needs better control."),
            ("Should the treatment change?", "Probably, but let a clinician decide after checking the inhaler technique and the plan."),
        ),
        net=(0, 0, 0, 0),
        facts=(
            "Waking at night with cough or wheeze often means that asthma is not well controlled.",
            "Airways are naturally narrower in the early morning, so symptoms show then first.",
            "Dust mites, smoke, cold air and reflux are common triggers at night.",
        ),
        advice=(
            "Take the preventer inhaler every day as prescribed and check the technique.",
            "Keep the reliever inhaler and a glass of water beside the bed.",
            "Keep the bedroom free of smoke and wash bedding every week in hot water.",
            "Note each night with symptoms for two weeks before the appointment.",
            "Follow the written asthma plan and step up treatment only as it says.",
        ),
        medicine=(
            "Do not stop a preventer inhaler without advice, as its effect builds up slowly.",
            "Ask before taking ibuprofen or aspirin, because they can make asthma worse in some people.",
        ),
        warn=(
            "Make an appointment this week if sleep is broken by asthma more than once.",
            "Call emergency services if breathlessness is severe or the reliever brings no relief.",
            "See a doctor the same day if the peak flow falls well below its usual value.",
        ),
        follow=(
            "The clinician may adjust the preventer and check again after four to eight weeks.",
            "Once the nights are quiet for three months, a step down can be discussed.",
        ),
        bad=(
            "A night cough is never caused by asthma, so ignore it.",
            "Turn over and go back to sleep, because coughing harms nobody.",
            "Your inhalers can stay in the drawer until winter.",
            "Everyone coughs at night, so this is perfectly fine.",
        ),
        talk=(
            ("Could my pillow be the problem?", "It might play a part. Dust mites live in bedding, so weekly hot washing and a mite-proof cover can help. The preventer inhaler still matters more than any change to the bed."),
            ("Can I use the reliever each night?", "Use it when you need it, but needing it every night is a sign that the preventer plan should be reviewed. Please arrange that review within the next few days."),
        ),
    ),
    S(
        "copd-winter-flare", topic="A winter flare of chronic lung disease", ages=(58, 84),
        case="{name}, {age}, has chronic obstructive lung disease and coughs up more phlegm since the weekend.",
        say=(
            "I am {age} with COPD and more breathless than usual for {n} days.",
            "My father has chronic lung disease and his phlegm has turned green.",
            "Every winter my COPD flares up, and it has started again.",
            "My COPD makes me stop twice on the stairs now, which is new.",
        ),
        ask=(
            ("Is this a flare-up?", "It may well be, because a clear worsening over days is the usual sign of a flare."),
            ("Should the rescue pack be started?", "Start it only if the written plan says so, and tell the clinic the same day."),
        ),
        net=(0, 0, 0, 0), urgent=(0, 3),
        facts=(
            "A flare of COPD means more breathlessness, more cough or a change of phlegm for days.",
            "Most flares follow a viral or bacterial infection of the airways.",
            "Early treatment of a flare shortens it and can prevent a hospital stay.",
        ),
        advice=(
            "Use the reliever inhaler through a spacer as the written plan says.",
            "Breathe out slowly through pursed lips and rest the arms on a table.",
            "Drink enough, and keep the main room comfortably warm.",
            "Start a rescue pack only as agreed and tell the clinic on the same day.",
            "Stay gently active indoors between periods of rest.",
        ),
        medicine=(
            "Finish a rescue course as prescribed and keep no leftover tablets for later.",
            "Ask before taking cough syrups or sleeping tablets, since some slow down breathing.",
        ),
        warn=(
            "Call the clinic the same day if breathlessness or phlegm is clearly worse than usual.",
            "Call emergency services for confusion, blue lips, chest pain or breathlessness at rest.",
            "See a doctor if there is no improvement two days after starting the rescue pack.",
        ),
        follow=(
            "A review about six weeks after a flare checks inhalers, oxygen level and vaccines.",
            "Pulmonary rehabilitation after a flare improves strength and lowers the risk of another one.",
        ),
        bad=(
            "Green phlegm in COPD means nothing at all.",
            "People with COPD are always breathless, so there is nothing to do.",
            "Simply wait for spring and the lungs will sort themselves out.",
            "Your inhalers are useless in a flare, so skip them.",
        ),
        talk=(
            ("Should he stay in bed?", "Not all day. Short walks indoors and sitting upright keep the lungs working and the muscles strong. Let him rest between activities and use slow breathing through pursed lips."),
            ("Would a flu vaccine have helped?", "Yearly flu vaccination and the pneumonia vaccine lower the risk of severe flares. Ask the clinic for them once this flare has settled, and make sure the household is vaccinated as well."),
        ),
    ),
    S(
        "common-cold-adult", topic="The common cold in adults", ages=(18, 64),
        case="{name}, {age}, has had a runny nose, sneezing and a mild sore throat since Monday.",
        say=(
            "I am {age} and have had a runny nose and sneezing for {n} days.",
            "My nose is blocked and my throat is scratchy, but I have no fever.",
            "My wife has a cold and feels tired and stuffed up.",
            "I caught a cold at work and cannot sleep because my nose is blocked.",
        ),
        ask=(
            ("Are antibiotics needed?", "No, colds are viral, and antibiotics would bring side effects without any benefit."),
            ("How can I get over it faster?", "Nothing shortens a cold for certain, but rest, fluids and salt-water spray ease it."),
        ),
        net=(0, 0, 0, 2),
        facts=(
            "Colds are caused by viruses, so antibiotics do not shorten them.",
            "Most colds are at their worst on day three and settle within ten days.",
            "A cough can linger for two or three weeks after the other symptoms have gone.",
        ),
        advice=(
            "Rest, drink regularly and use salt-water nasal spray for the blocked nose.",
            "Raise the head of the bed a little to breathe more easily at night.",
            "Wash hands often and cough into the elbow to protect other people.",
            "Try warm drinks or honey for the throat.",
            "Stay at home while feeling feverish or very tired.",
        ),
        medicine=(
            "Paracetamol can ease aches; check that no other cold remedy contains it too.",
            "Do not use decongestant sprays for more than a few days, as the nose can become more blocked.",
        ),
        warn=(
            "See a doctor if fever lasts more than three days or symptoms last beyond ten.",
            "Seek urgent care for trouble breathing, chest pain or confusion.",
            "Get checked if symptoms improve at first and then become clearly worse.",
        ),
        follow=(
            "No visit is needed if each day is a little better than the day before.",
            "People with lung disease or weak immunity should ask for advice earlier.",
        ),
        bad=(
            "Leftover antibiotics from the cupboard will fix this overnight.",
            "A cold can never turn into anything else.",
            "Keep training hard, because sweating always drives a cold out.",
            "Colds are trivial, so do not give it another thought.",
        ),
        talk=(
            ("Can I go running with it?", "If symptoms stay above the neck and you have no fever, gentle exercise is usually fine. Rest if you have fever, aches or a chesty cough, and return slowly when you feel well."),
            ("My mucus turned yellow, is that bacterial?", "Not by itself. Mucus often turns yellow or green during an ordinary cold as the body fights the virus. Have it checked if you also get high fever or strong facial pain."),
        ),
    ),
    S(
        "flu-at-home", topic="Influenza at home", ages=(19, 72),
        case="{name}, {age}, fell ill within hours, with fever, aching muscles and a dry cough.",
        say=(
            "I suddenly got fever, chills and aching muscles {n} days ago.",
            "My husband, {age}, has the flu and can hardly get out of bed.",
            "I think I have flu, and I share a flat with an older aunt.",
            "I am {age} with flu and my fever goes up every evening.",
        ),
        ask=(
            ("How should I look after this at home?", "Rest, drink often, take paracetamol if needed and stay apart from other people."),
            ("When can I go back to work?", "Wait until you have had no fever for a full day and feel strong enough."),
        ),
        net=(2, 1, 0, 2),
        facts=(
            "Influenza starts suddenly and usually brings fever, aches and marked tiredness.",
            "Most healthy adults recover within a week, while cough and fatigue may last longer.",
            "Older adults, pregnant women and people with chronic disease have more complications.",
        ),
        advice=(
            "Rest in bed, drink small amounts often and keep the room aired.",
            "Stay at home until there has been no fever for a full day.",
            "Sleep in a separate room and wash hands after each cough or sneeze.",
            "Eat light food as appetite allows, and do not force meals.",
            "Ask someone to look in twice a day during the worst days.",
        ),
        medicine=(
            "Paracetamol can lower fever; keep to the dose on the packet.",
            "Antiviral tablets work best within two days, so people at high risk should ask early.",
        ),
        warn=(
            "Call a doctor early if pregnant, over 65 or living with a chronic disease.",
            "Seek emergency care for trouble breathing, chest pain, confusion or blue lips.",
            "Get medical help if fever returns after it had gone, or lasts over four days.",
        ),
        follow=(
            "Go back to normal activity step by step, because tiredness can last two weeks.",
            "A yearly vaccination in autumn lowers the risk of severe flu.",
        ),
        bad=(
            "Flu is only a strong cold and cannot harm anyone.",
            "Go to work as usual, since flu is not catching after the first hour.",
            "Whatever happens, the fever always burns the illness away.",
            "Strong people never get complications from flu.",
        ),
        talk=(
            ("Should my aunt take anything to prevent it?", "Ask her doctor today, because a preventive antiviral is sometimes offered to older people after close contact. Keep apart, air the rooms, and wash hands often in the meantime."),
            ("Can antibiotics help me?", "Antibiotics do not act on the flu virus. They are used only if a bacterial infection such as pneumonia follows, which a clinician has to judge by examining you."),
        ),
    ),
    S(
        "cough-three-weeks", topic="A cough that lasts for weeks", ages=(35, 75),
        case="{name}, {age}, smokes and has been coughing for almost a month.",
        say=(
            "I am {age}, I smoke, and my cough has lasted {n} weeks.",
            "My mother has coughed for weeks and is losing weight.",
            "I had a chest cold, and the cough simply does not stop after {n} weeks.",
            "My cough is dry and has bothered me ever since I started a new blood pressure tablet.",
        ),
        ask=(
            ("Is it time to have it looked at?", "Yes, a cough of three weeks or longer should be examined."),
            ("What could be the reason?", "Smoking, a lingering cold, asthma, reflux and some tablets are common reasons."),
        ),
        net=(0, 2, 0, 0), urgent=(1,),
        n=(3, 8),
        facts=(
            "A cough after a cold may take three weeks to fade, and most are harmless.",
            "Asthma, reflux, smoking and some blood pressure tablets can keep a cough going.",
            "A cough beyond three weeks deserves an examination and often a chest X-ray.",
        ),
        advice=(
            "Stop smoking or cut down, and avoid smoky rooms.",
            "Sip water when the urge to cough comes, and try honey in warm tea.",
            "Note when the cough comes, such as at night, after meals or with exercise.",
            "Bring a list of all medicines to the appointment.",
            "Raise the head of the bed if the cough comes with heartburn.",
        ),
        medicine=(
            "Do not stop a blood pressure tablet without advice; there are alternatives that cause no cough.",
            "Cough syrups help little, and some make people drowsy or confused.",
        ),
        warn=(
            "See a doctor soon about any cough that lasts longer than three weeks.",
            "Get help urgently for coughing up blood, breathlessness or chest pain.",
            "Book a visit promptly if weight loss, night sweats or fever come with the cough.",
        ),
        follow=(
            "The doctor will listen to the chest and may arrange an X-ray or a breathing test.",
            "Return if the cough is still there six weeks after a normal first check.",
        ),
        bad=(
            "Every smoker coughs, so a check would be a waste of time.",
            "A cough that lasts for weeks is always just a leftover cold.",
            "Losing a little weight while coughing is good news.",
            "Just suck more sweets and stop thinking about it.",
        ),
        talk=(
            ("Could the tablet really cause it?", "Yes, one common group of blood pressure tablets can cause a dry cough, sometimes after weeks. Keep taking it for now and ask your doctor about switching to another type."),
            ("Does an X-ray hurt?", "No, a chest X-ray takes seconds, does not hurt and uses a very small dose of radiation. Tell the staff beforehand if there is any chance of pregnancy."),
        ),
    ),
    S(
        "sinusitis-adult", topic="Acute sinusitis", ages=(20, 65),
        case="{name}, {age}, has pressure over the cheeks and a blocked nose after a cold.",
        say=(
            "My face feels heavy and my nose has been blocked for {n} days.",
            "I am {age} and have pain above my eyes when I bend down.",
            "After a cold my cheeks hurt and the mucus is thick.",
            "My sister keeps getting sinus infections and has one again.",
        ),
        ask=(
            ("Are antibiotics needed for sinusitis?", "Usually not, because most sinusitis is viral and clears without them."),
            ("How long will the pressure last?", "Often two to three weeks, with slow improvement from the second week on."),
        ),
        net=(0, 2, 0, 0), n=(5, 9),
        facts=(
            "Sinusitis usually follows a cold and is mostly caused by a virus.",
            "Symptoms commonly last two to three weeks and clear without antibiotics.",
            "Swollen nasal lining traps mucus in the sinuses, which causes the pressure.",
        ),
        advice=(
            "Rinse the nose with salt water once or twice a day.",
            "Put a warm, damp cloth over the cheeks for a few minutes at a time.",
            "Sleep with the head raised and drink enough through the day.",
            "Avoid cigarette smoke, which irritates the lining further.",
            "Blow the nose gently, one side at a time.",
        ),
        medicine=(
            "Use a decongestant spray for a few days at most, to avoid rebound blockage.",
            "A steroid nasal spray may help after ten days; ask a pharmacist whether it suits.",
        ),
        warn=(
            "See a doctor if symptoms last over ten days without any improvement.",
            "Get urgent care for swelling around an eye, double vision or a stiff neck.",
            "Have it checked soon if a severe headache or high fever develops.",
        ),
        follow=(
            "Frequent attacks are a reason to look for allergy or nasal polyps.",
            "Stop the rinses once breathing through the nose is easy again.",
        ),
        bad=(
            "Sinus pressure can never spread, so leave it completely alone.",
            "Take whatever antibiotic you have left in the cupboard.",
            "Swelling near the eye is only cosmetic.",
            "Pain in the face is just stress and nothing more.",
        ),
        talk=(
            ("How do I make the salt water?", "Use a ready-made sachet, or ask the pharmacist. Mix it with boiled water that has cooled down, rinse gently, and clean the bottle after every use so germs cannot grow."),
            ("May I fly next week?", "Flying with blocked sinuses can be painful during descent. If pressure is still strong, ask a pharmacist or doctor beforehand, and consider moving the trip if you have fever."),
        ),
    ),
    S(
        "hay-fever-season", topic="Hay fever in the pollen season", ages=(14, 55),
        case="{name}, {age}, sneezes and has itchy eyes every spring when the trees bloom.",
        say=(
            "Every spring my eyes itch and I sneeze all morning.",
            "I am {age} and my hay fever makes me tired at work.",
            "My son has a runny nose for weeks when the grass is cut.",
            "My hay fever tablets stopped helping {n} weeks ago.",
        ),
        ask=(
            ("What works best against hay fever?", "A steroid nasal spray used every day works best for most people."),
            ("How can I get through the season?", "Start treatment early, use it daily and keep pollen out of the bedroom."),
        ),
        net=(0, 0, 1, 0),
        facts=(
            "Hay fever is an allergy to pollen that inflames the nose and the eyes.",
            "Steroid nasal sprays work best when used every day through the season.",
            "Hay fever can make asthma worse, so wheeze in spring should not be ignored.",
        ),
        advice=(
            "Shower and change clothes after being outside on days with a high pollen count.",
            "Keep bedroom windows closed in the early morning and in the evening.",
            "Start the nasal spray a week or two before the season begins.",
            "Wear wraparound sunglasses and rinse the nose with salt water.",
            "Dry laundry indoors while the pollen count is high.",
        ),
        medicine=(
            "Choose an antihistamine that causes little drowsiness, above all before driving.",
            "Point the nasal spray slightly outwards and do not sniff hard after it.",
        ),
        warn=(
            "See a doctor if tablets and a daily spray together do not control it.",
            "Get help promptly if chest tightness, wheeze or breathlessness appears.",
            "Ask a clinician before using sprays or tablets in pregnancy.",
        ),
        follow=(
            "Give a daily spray two weeks before judging whether it works.",
            "Allergy tests and immunotherapy can be discussed when every season is hard.",
        ),
        bad=(
            "Hay fever is only imagination and passes if you stop noticing it.",
            "Wheezing in spring is always harmless.",
            "Any dose of allergy tablets is fine for anyone.",
            "Sprays and tablets are all useless, so do not bother.",
        ),
        talk=(
            ("Can I take the tablet before driving?", "Choose a non-drowsy type and see how you react at home first. Some older antihistamines cause sleepiness for many hours, so do not drive if you feel slow or tired."),
            ("Is it safe to use the spray for months?", "Steroid nasal sprays are made for use through a season and little enters the body. Let a pharmacist check the dose, and report frequent nosebleeds or soreness."),
        ),
    ),
    S(
        "pneumonia-recovery", topic="Recovery after pneumonia", ages=(45, 80),
        case="{name}, {age}, went home from hospital last week after pneumonia and still feels weak.",
        say=(
            "I had pneumonia {n} weeks ago and I am still exhausted.",
            "My mother, {age}, is home after pneumonia and coughs a lot.",
            "I finished my antibiotics for pneumonia and still get out of breath on stairs.",
            "I am {age} and my chest aches a little after pneumonia.",
        ),
        ask=(
            ("How long does recovery take?", "Expect several weeks; energy can take up to three months to return."),
            ("Is it normal to be this tired?", "Yes, tiredness is common for weeks, as long as it slowly improves."),
        ),
        net=(2, 2, 0, 2), n=(2, 5), heldout=True,
        facts=(
            "After pneumonia, fever usually goes within a week, but tiredness may last three months.",
            "Cough and phlegm fade over about six weeks as the lungs heal.",
            "Older people and smokers recover more slowly and are checked by X-ray afterwards.",
        ),
        advice=(
            "Walk a little further every day and rest before becoming exhausted.",
            "Drink enough, and eat small meals with protein.",
            "Take slow, deep breaths ten times an hour while awake.",
            "Do not smoke, and stay away from smoke.",
            "Keep the follow-up appointment even when feeling better.",
        ),
        medicine=(
            "Take the whole course of antibiotics as prescribed unless a clinician changes it.",
            "Paracetamol can help a sore chest, so that deep breathing and coughing are easier.",
        ),
        warn=(
            "Call a doctor if fever comes back or the breathlessness increases.",
            "Get emergency help for severe breathlessness, chest pain, confusion or coughing up blood.",
            "See a clinician if tiredness or cough has not improved after six weeks.",
        ),
        follow=(
            "A chest X-ray about six weeks later is common for smokers and people over 50.",
            "Ask about vaccines against flu and pneumococcus once recovered.",
        ),
        bad=(
            "Once the tablets are finished, pneumonia can never come back.",
            "Feeling worse again is a normal part of getting better.",
            "Go straight back to heavy work and the lungs will catch up.",
            "A new fever after pneumonia is of no interest.",
        ),
        talk=(
            ("When can she go back to her garden?", "Light work for a few minutes is fine once she has no fever and can talk while moving. Add a little every few days, and stop if she becomes breathless."),
            ("Is she still contagious?", "After a few days of effective treatment and without fever, the risk is low. Washing hands and coughing into a tissue remain sensible, especially near babies and frail people."),
        ),
    ),
    S(
        "quitting-smoking", topic="Stopping smoking", ages=(22, 66),
        case="{name}, {age}, smokes a pack a day and wants to stop before a grandchild is born.",
        say=(
            "I am {age} and want to stop smoking for good.",
            "I stopped smoking {n} days ago and feel irritable.",
            "I have tried to quit three times and always start again.",
            "My wife is pregnant and I still smoke.",
        ),
        ask=(
            ("What helps most?", "Support from a counsellor together with nicotine replacement or tablets helps most."),
            ("How do I deal with the craving?", "Wait ten minutes, drink water and walk; each craving passes by itself."),
        ),
        net=(0, 1, 0, 2),
        facts=(
            "Cravings peak in the first week and each one usually passes within minutes.",
            "Counselling together with medication gives the best chance of stopping.",
            "Lungs and heart begin to benefit within days of the last cigarette.",
        ),
        advice=(
            "Set a stop date, tell family and friends, and remove all cigarettes.",
            "When a craving comes, wait, drink water and take a short walk.",
            "Use a long-acting patch with gum or spray for sudden cravings.",
            "List the usual smoking moments and plan something else for each.",
            "Treat a slip as a lesson, and go on with the plan the same day.",
        ),
        medicine=(
            "Ask a pharmacist for the right strength of nicotine replacement.",
            "Doses of some medicines change after stopping, so tell the prescriber.",
        ),
        warn=(
            "Ask a doctor about treatment if several attempts have failed or mood drops.",
            "Seek urgent help for chest pain, coughing up blood or thoughts of self-harm.",
            "Speak with a clinician before using nicotine products in pregnancy.",
        ),
        follow=(
            "Weekly contact with a stop-smoking service in the first month makes success more likely.",
            "Keep nicotine replacement for eight to twelve weeks, then step down.",
        ),
        bad=(
            "Light cigarettes are harmless, so switch and relax.",
            "Willpower is all anyone needs, and help is for the weak.",
            "At your age stopping brings no benefit whatsoever.",
            "A few cigarettes near a pregnant woman do nothing.",
        ),
        talk=(
            ("Will I gain weight?", "Many people gain a few kilograms, which is less harmful than smoking. Regular walks, fruit and water help. Stop smoking first, and work on weight when you feel steady."),
            ("Can I use patch and gum together?", "Yes, a patch for steady relief with gum for sudden cravings works better than one alone. A pharmacist can choose strengths that match how much you smoked."),
        ),
    ),
    S(
        "snoring-sleep-apnoea", topic="Snoring and sleep apnoea", ages=(38, 66),
        case="{name}, {age}, snores loudly and falls asleep in meetings.",
        say=(
            "My husband, {age}, snores and sometimes stops breathing at night.",
            "I sleep eight hours and am still tired all day; I snore a lot.",
            "I am {age} and nearly fell asleep at the wheel last week.",
            "My wife says that I gasp in my sleep.",
        ),
        ask=(
            ("Could this be sleep apnoea?", "It could be, and a sleep study at home can show it."),
            ("Is snoring dangerous?", "Simple snoring is not, but pauses in breathing strain the heart and cause accidents."),
        ),
        net=(0, 0, 1, 0), urgent=(2,),
        facts=(
            "In sleep apnoea the throat closes again and again and breathing stops for seconds.",
            "Untreated sleep apnoea raises blood pressure and the risk of road accidents.",
            "Weight, alcohol and sleeping on the back make snoring worse.",
        ),
        advice=(
            "Sleep on the side and avoid alcohol in the evening.",
            "Lose a little weight if overweight; even some kilograms help.",
            "Keep regular sleep hours and leave time for enough sleep.",
            "Do not drive while sleepy.",
            "Ask a partner to note pauses in breathing or make a short recording.",
        ),
        medicine=(
            "Avoid sleeping tablets, because they can make the pauses longer.",
            "Tell the doctor about strong painkillers or sedatives, as they slow breathing.",
        ),
        warn=(
            "See a doctor about pauses in breathing or strong daytime sleepiness.",
            "Stop driving and get advice at once after nodding off at the wheel.",
            "Seek urgent care for chest pain or breathlessness that wakes you.",
        ),
        follow=(
            "A sleep study at home measures breathing and oxygen during one night.",
            "A mask with gentle air pressure often improves energy within weeks.",
        ),
        bad=(
            "Snoring is funny and never a sign of illness.",
            "Dozing at the wheel happens to everybody.",
            "Pauses in breathing simply save energy.",
            "A strong sleeping tablet is all that is needed.",
        ),
        talk=(
            ("Is there something other than the mask?", "Yes, for mild cases a mouthpiece from a dentist, side sleeping and weight loss can be enough. A sleep clinic can tell you which option fits the test result."),
            ("Do I have to tell anyone about driving?", "Rules differ by country, so ask your doctor. Until the sleepiness is treated, please do not drive when tired, and never drive after nodding off."),
        ),
    ),
]
