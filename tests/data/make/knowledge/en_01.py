"""English scenarios: airways, ears, nose, throat and eyes."""

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
        ask=("Am I using it the right way?", "How is it meant to be used?"),
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
        ask=("Does this mean my asthma is not controlled?", "Should my treatment change?"),
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
        ask=("Is this a flare-up?", "Should I start my rescue pack?"),
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
        ask=("Do I need antibiotics?", "How can I get over it faster?"),
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
        ask=("How should I look after this at home?", "When can I go back to work?"),
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
        ask=("Is it time to have it looked at?", "What could be the reason?"),
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
        "sore-throat-teen", topic="Sore throat in teenagers", ages=(12, 18),
        case="{name}, {age}, has a sore throat, swollen glands and no appetite.",
        say=(
            "My {age}-year-old daughter has had a sore throat for {n} days.",
            "My son, {age}, has white spots on his tonsils and a fever.",
            "I am {age} and it hurts to swallow.",
            "My teenager has swollen neck glands and feels exhausted.",
        ),
        ask=("Could this be tonsillitis?", "Can school wait a few days?"), n=(2, 4),
        facts=(
            "Most sore throats are viral and improve within a week.",
            "Fever, spots on the tonsils and no cough make a bacterial cause more likely.",
            "Glandular fever in teenagers brings a long sore throat with marked tiredness.",
        ),
        advice=(
            "Offer cool drinks, soft food and ice lollies to make swallowing easier.",
            "Gargle with warm salt water a few times a day and spit it out.",
            "Rest at home until the fever has gone.",
            "Use a separate cup and toothbrush to protect the family.",
            "Check that fluids stay down and that urine is passed regularly.",
        ),
        medicine=(
            "Give paracetamol or ibuprofen in the dose for the age, never both products by guesswork.",
            "Aspirin is not suitable for anyone under 16 without medical advice.",
        ),
        warn=(
            "See a doctor if there is no improvement after a week or fever stays high.",
            "Get emergency help for drooling, trouble breathing or being unable to open the mouth.",
            "Book a same-day visit if one side is much more swollen or a rash appears.",
        ),
        follow=(
            "A throat swab or a short scoring check helps to decide whether antibiotics are useful.",
            "With glandular fever, contact sports should wait about a month because of the spleen.",
        ),
        bad=(
            "White spots on the tonsils never mean anything.",
            "Teenagers exaggerate, so send them straight back to training.",
            "Swallowing pain is impossible to treat and not worth mentioning.",
            "Share drinks as usual, because throats are not catching.",
        ),
        talk=(
            ("Will antibiotics make it shorter?", "Only a little, and only when bacteria are the cause. A doctor decides after an examination, since unneeded antibiotics bring side effects and resistance without helping a viral sore throat."),
            ("Is ice cream really allowed?", "Yes, cold soft food often soothes the throat and keeps some energy and fluid going in. Water matters most, so offer small sips through the whole day."),
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
        ask=("Are antibiotics needed for sinusitis?", "How long will the pressure last?"), n=(5, 9),
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
        ask=("What works best against hay fever?", "How can I get through the season?"),
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
            "Take three times the tablets and you will be fine.",
            "Sprays and tablets are all useless, so do not bother.",
        ),
        talk=(
            ("Can I take the tablet before driving?", "Choose a non-drowsy type and see how you react at home first. Some older antihistamines cause sleepiness for many hours, so do not drive if you feel slow or tired."),
            ("Is it safe to use the spray for months?", "Steroid nasal sprays are made for use through a season and little enters the body. Let a pharmacist check the dose, and report frequent nosebleeds or soreness."),
        ),
    ),
    S(
        "earache-child", topic="Earache in young children", ages=(2, 7),
        case="{name}, {age}, has a cold and has been pulling at one ear since last night.",
        say=(
            "My {age}-year-old woke up crying with earache.",
            "My little girl has a cold and now her ear hurts.",
            "My son, {age}, has had ear pain for {n} days.",
            "Some fluid is coming out of my child's ear.",
        ),
        ask=("Is it an ear infection?", "How can I ease the pain tonight?"), n=(2, 3),
        facts=(
            "Middle ear infections are common after a cold, because the tube behind the nose swells.",
            "Most ear infections in children settle in about three days without antibiotics.",
            "Sudden discharge with less pain may mean that the eardrum has a small hole.",
        ),
        advice=(
            "Give pain relief in the dose for the child's weight or age.",
            "Hold a warm, dry cloth against the ear for a short while.",
            "Offer drinks often and let the child rest sitting up a little.",
            "Keep the ear dry, and put nothing inside it.",
            "Keep the child at home until the fever has gone.",
        ),
        medicine=(
            "Use paracetamol or ibuprofen for children and measure it with the syringe supplied.",
            "Do not use ear drops unless a clinician has looked into the ear.",
        ),
        warn=(
            "See a doctor if pain lasts beyond three days or fluid comes out.",
            "Seek urgent care for swelling behind the ear, a stiff neck or unusual drowsiness.",
            "Call the same day for any child under two with pain in both ears.",
        ),
        follow=(
            "Hearing may stay a little dull for some weeks and should then recover.",
            "Ask for a hearing check if the child still seems not to hear after three months.",
        ),
        bad=(
            "Children pull their ears for fun, so this means nothing.",
            "Push a cotton bud in deeply and the pain will stop.",
            "Discharge is just wax and never needs a look.",
            "Ear infections cannot cause any trouble at all.",
        ),
        talk=(
            ("Can she go swimming this weekend?", "Wait until the pain and any discharge have gone. If fluid has come out of the ear, keep it dry and let a clinician look at the eardrum before she swims."),
            ("Why not antibiotics right away?", "Most of these infections settle by themselves within three days. Antibiotics help some children, such as those under two with both ears affected, so a clinician decides after looking inside."),
        ),
    ),
    S(
        "ear-wax-blockage", topic="Ear wax that blocks the ear", ages=(30, 82),
        case="{name}, {age}, noticed that one ear went dull after a shower.",
        say=(
            "My right ear has felt blocked for {n} days after swimming.",
            "I am {age} and I think wax is blocking my ear.",
            "My father's hearing aid whistles and his ear is full of wax.",
            "I used a cotton bud and now I hear less.",
        ),
        ask=("How do I get the wax out safely?", "Should I have my ears rinsed?"),
        facts=(
            "Ear wax protects the ear canal and usually moves out by itself.",
            "Cotton buds push wax deeper and can injure the skin or the eardrum.",
            "Hearing aids and narrow canals make blockage more likely.",
        ),
        advice=(
            "Put two or three drops of olive oil into the ear twice a day for a week.",
            "Lie on the side for a few minutes after the drops.",
            "Leave cotton buds, hairpins and ear candles alone.",
            "Keep the other ear in use for phone calls until hearing returns.",
            "Wipe only the outer ear with a damp cloth.",
        ),
        medicine=(
            "Do not use drops if the eardrum may have a hole or the ear is discharging.",
            "Stop the drops if they cause pain, and ask a pharmacist about other kinds.",
        ),
        warn=(
            "See a nurse or doctor if the ear is still blocked after two weeks of drops.",
            "Get seen the same day for sudden hearing loss without an obvious blockage.",
            "Book a visit if there is pain, discharge, bleeding or dizziness.",
        ),
        follow=(
            "A clinician can remove the wax with gentle suction or rinsing after a look inside.",
            "People with hearing aids may need a check of their ears a few times a year.",
        ),
        bad=(
            "Dig the wax out with anything thin and the matter is closed.",
            "Sudden deafness is always just wax.",
            "Ear candles remove every blockage without any danger.",
            "Hearing less at your age is not worth a question.",
        ),
        talk=(
            ("Are ear candles any use?", "No, they do not remove wax and can burn the face or the ear canal. Softening drops for a week or two, followed by suction if needed, are much safer."),
            ("It got worse after the drops, is that normal?", "Drops can make hearing duller for a few days, since the softened wax swells. Carry on if there is no pain, and have it looked at if it stays blocked."),
        ),
    ),
    S(
        "nosebleed-adult", topic="Nosebleeds in adults", ages=(40, 80),
        case="{name}, {age}, takes a blood thinner and has had two nosebleeds this week.",
        say=(
            "My nose has bled {n} times this week.",
            "I am {age}, take a blood thinner, and my nose started to bleed.",
            "My husband gets nosebleeds whenever the heating is on.",
            "My nose has been bleeding for five minutes now.",
        ),
        ask=("How do I stop it?", "Why does my nose keep bleeding?"), n=(2, 4),
        facts=(
            "Most nosebleeds come from small vessels at the front of the nose.",
            "Dry air, colds, nose picking and blood thinners make bleeding more likely.",
            "Tilting the head back lets blood run into the throat and hides how much is lost.",
        ),
        advice=(
            "Sit up, lean forward and pinch the soft part of the nose for fifteen minutes.",
            "Breathe through the mouth and spit out any blood.",
            "Keep the pressure steady and do not look every minute.",
            "Avoid hot drinks, heavy lifting and nose blowing for a day.",
            "Use a little nasal ointment or salt-water gel to keep the lining moist.",
        ),
        medicine=(
            "Do not stop a prescribed blood thinner without speaking to a clinician.",
            "Avoid aspirin and ibuprofen for pain after a nosebleed unless they were prescribed.",
        ),
        warn=(
            "Go to urgent care if bleeding goes on after fifteen minutes of firm pressure.",
            "Call emergency services for heavy bleeding, faintness or bleeding after a head injury.",
            "See a doctor if nosebleeds return often or you take a blood thinner.",
        ),
        follow=(
            "A clinician can seal a bleeding vessel quickly if nosebleeds keep coming back.",
            "Blood pressure and a blood count may be checked at the visit.",
        ),
        bad=(
            "Tilt your head back and carry on, that always works.",
            "Nosebleeds with blood thinners are nothing special.",
            "Nobody ever loses much blood from the nose.",
            "Pack tissue deep inside and leave it there for days.",
        ),
        talk=(
            ("Should I put ice on my neck?", "It does little harm but does not replace firm pressure. Pinching the soft part of the nose without a break for fifteen minutes is what stops most nosebleeds."),
            ("Can high blood pressure be the cause?", "It may make bleeding harder to stop, though it is seldom the only cause. Measure your pressure when you are calm, and show repeated high readings to your doctor."),
        ),
    ),
    S(
        "croup-toddler", topic="Croup in toddlers", ages=(1, 4),
        case="{name}, {age}, woke at night with a barking cough and a hoarse voice.",
        say=(
            "My toddler woke up with a cough that sounds like a seal.",
            "My son, {age}, has a barking cough and a hoarse voice.",
            "My little girl makes a harsh noise when she breathes in.",
            "My child had croup {n} months ago and it sounds the same tonight.",
        ),
        ask=("Is this croup?", "What can I do during the night?"),
        facts=(
            "Croup is a viral swelling around the voice box that causes a barking cough.",
            "Croup is often worse at night and usually settles within two or three days.",
            "Crying narrows the airway further, so a calm child breathes more easily.",
        ),
        advice=(
            "Stay calm, hold the child upright and comfort them.",
            "Offer small sips of water or milk.",
            "Sleep in the same room and listen to the breathing.",
            "Keep the child away from smoke and do not use hot steam, which can scald.",
            "Never look into the throat with a spoon, as this can block the breathing.",
        ),
        medicine=(
            "A single dose of steroid from a doctor reduces the swelling within hours.",
            "Do not give cough syrup to a toddler; it does not help croup.",
        ),
        warn=(
            "Call emergency services if the child struggles to breathe, drools or turns blue.",
            "Get seen urgently if there is a harsh noise on breathing in while at rest.",
            "Call a doctor the same day if the child drinks little or seems very tired.",
        ),
        follow=(
            "The second night can be as bad as the first, so plan to stay close.",
            "Have the child seen if the cough lasts beyond a week or keeps coming back.",
        ),
        bad=(
            "A noisy breath at rest is just a funny sound.",
            "Let the child cry it out, because crying opens the lungs.",
            "Croup never becomes dangerous, so sleep well.",
            "Toddlers bark like that for attention.",
        ),
        talk=(
            ("Should I run a hot shower for steam?", "Steam has not been shown to help and can scald a small child. Cool air at an open window and a calm lap are safer while you watch the breathing."),
            ("Is croup catching for the baby?", "The virus behind it spreads like a cold, so wash hands and keep cups apart. In a baby it may show as an ordinary cold, but watch feeding and breathing closely."),
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
        ask=("How long does recovery take?", "Is it normal to be this tired?"), n=(2, 5), heldout=True,
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
            "Feeling worse again is simply part of the fun.",
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
        ask=("What helps most?", "How do I deal with the craving?"),
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
        "conjunctivitis-school", topic="Conjunctivitis in school children", ages=(4, 11),
        case="{name}, {age}, woke up with sticky eyelids and a pink eye.",
        say=(
            "My {age}-year-old woke up with sticky, pink eyes.",
            "The school sent my son home with a red eye.",
            "My daughter has had itchy, watery eyes for {n} days.",
            "One of my child's eyes is pink and full of yellow crust.",
        ),
        ask=("Can my child go to school?", "Do we need eye drops?"), n=(2, 4),
        facts=(
            "Most conjunctivitis is mild and clears within one or two weeks.",
            "Sticky discharge suggests an infection, while itching in both eyes suggests allergy.",
            "Infectious conjunctivitis spreads by hands and shared towels.",
        ),
        advice=(
            "Wipe the lids with cotton and cooled boiled water, using a fresh piece each time.",
            "Wash hands often and use separate towels and pillows.",
            "Ask the child not to rub the eyes.",
            "Use cool compresses for itching.",
            "Leave contact lenses and eye make-up out until the eye is well.",
        ),
        medicine=(
            "Antibiotic drops are seldom needed in mild cases; a pharmacist can advise.",
            "Never share eye drops, and throw opened bottles away after the illness.",
        ),
        warn=(
            "See a doctor the same day for eye pain, light sensitivity or blurred vision.",
            "Get urgent care for any red eye in a newborn or a contact lens wearer.",
            "Book a visit if it is no better after a week.",
        ),
        follow=(
            "Most schools let children attend when they feel well; ask the school for its rule.",
            "Allergy drops can be discussed if the eyes itch every spring.",
        ),
        bad=(
            "Red eyes never affect sight, so look no further.",
            "Share the same towel, because pink eye is not catching.",
            "Blurred vision with a red eye is only tiredness.",
            "Use drops left over from the neighbour.",
        ),
        talk=(
            ("How long is it catching?", "It can spread as long as the eyes are sticky or watering. Good hand washing, separate towels and clean pillow cases lower the risk for the rest of the family."),
            ("Can I use breast milk or tea on the eye?", "No, neither is clean enough for the eye, and both can carry germs. Cooled boiled water on fresh cotton is the safe choice for cleaning the lids."),
        ),
    ),
    S(
        "contact-lens-red-eye", topic="A red eye in contact lens wearers", ages=(17, 50),
        case="{name}, {age}, slept in contact lenses and now has a painful red eye.",
        say=(
            "I wear contact lenses and one eye has been red and sore for {n} days.",
            "I am {age} and fell asleep with my lenses in; now my eye hurts.",
            "My daughter wears lenses and cannot stand bright light today.",
            "My lens felt scratchy, and the eye is still watering after I took it out.",
        ),
        ask=("Can I wait until next week?", "Can I keep wearing my lenses?"), n=(2, 3),
        facts=(
            "Infection of the cornea is rare but much more likely in contact lens wearers.",
            "Sleeping, showering or swimming in lenses raises the risk of infection.",
            "A corneal infection can scar within days if treatment is late.",
        ),
        advice=(
            "Take both lenses out now and wear glasses.",
            "Keep the lens and its case, because they may be needed for tests.",
            "Wash hands before touching the eye, and do not rub it.",
            "Do not patch the eye or use old drops.",
            "Wear sunglasses if light is unpleasant.",
        ),
        medicine=(
            "Steroid drops can make an infection worse and must only be given by an eye specialist.",
            "Numbing drops are never for use at home.",
        ),
        warn=(
            "Have a painful red eye with lenses checked the same day.",
            "Go to emergency eye care for severe pain, a white spot or worse vision.",
            "Call an eye clinic today if light hurts or vision is blurred.",
        ),
        follow=(
            "Wait until an eye specialist agrees before wearing lenses again.",
            "Replace the case every three months and never top up old solution.",
        ),
        bad=(
            "Put the lenses back in, because eyes get used to anything.",
            "Pain with lenses is only dryness in every case.",
            "A white spot on the eye is just decoration.",
            "Rinse the lenses with tap water and carry on.",
        ),
        talk=(
            ("Can I rinse my lenses with tap water?", "No, tap water may carry a germ that attacks the cornea and is hard to treat. Use fresh lens solution only, and keep lenses out of showers and pools."),
            ("The redness is better today, do I still need to go?", "Yes, please have it looked at today if there was pain or light sensitivity. An early corneal infection can seem to improve for a while and then damage sight."),
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
        ask=("Could this be sleep apnoea?", "Is snoring dangerous?"),
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
