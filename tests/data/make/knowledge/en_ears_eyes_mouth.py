"""English scenarios: ears, nose, throat, eyes, mouth and teeth."""

from scenario import Scenario as S

SCENARIOS = [
    S(
        "sore-throat-teen", topic="Sore throat in teenagers", ages=(12, 18),
        case="{name}, {age}, has a sore throat, swollen glands and no appetite.",
        say=(
            "My {age}-year-old daughter has had a sore throat for {n} days.",
            "My son, {age}, has white spots on his tonsils and a fever.",
            "I am {age} and it hurts to swallow.",
            "My teenager has swollen neck glands and feels exhausted.",
        ),
        ask=(
            ("Could this be tonsillitis?", "It could be, and an examination shows whether bacteria or a virus are more likely."),
            ("Can school wait a few days?", "Yes, rest at home until the fever has gone and eating is possible."),
        ),
        net=(0, 2, 0, 0), n=(2, 4),
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
        "earache-child", topic="Earache in young children", ages=(2, 7),
        case="{name}, {age}, has a cold and has been pulling at one ear since last night.",
        say=(
            "My {age}-year-old woke up crying with earache.",
            "My little girl has a cold and now her ear hurts.",
            "My son, {age}, has had ear pain for {n} days.",
            "Some fluid is coming out of my child's ear.",
        ),
        ask=(
            ("Is it an ear infection?", "Quite possibly, since ear infections often follow a cold; only a look inside can tell."),
            ("How can I ease the pain tonight?", "Give pain relief in the right dose and hold a warm, dry cloth to the ear."),
        ),
        net=(0, 2, 0, 0), n=(2, 3),
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
            "Ear pain in children is always gone by morning.",
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
        ask=(
            ("How do I get the wax out safely?", "Soften it with olive oil drops for a week, and put nothing into the ear."),
            ("Should the ear be rinsed?", "Only if drops alone have not helped and a clinician has looked inside first."),
        ),
        net=(0, 1, 0, 1),
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
            "Wax can be scraped out at home without any danger.",
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
        ask=(
            ("How do I stop it?", "Lean forward and pinch the soft part of the nose for fifteen minutes without a break."),
            ("Why does it bleed?", "Dry air and a fragile vessel are common reasons, and blood thinners add to it."),
        ),
        net=(2, 2, 2, 0), urgent=(1,), n=(2, 4),
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
            "A bit of tissue in the nose solves everything.",
        ),
        talk=(
            ("Should I put ice on my neck?", "It does little harm but does not replace firm pressure. Pinching the soft part of the nose without a break for fifteen minutes is what stops most nosebleeds."),
            ("Can high blood pressure be the cause?", "It may make bleeding harder to stop, though it is seldom the only cause. Measure your pressure when you are calm, and show repeated high readings to your doctor."),
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
        ask=(
            ("Can my child go to school?", "Usually yes if the child feels well, but ask the school for its rule."),
            ("Do we need eye drops?", "Often not, because mild cases clear by themselves with careful cleaning."),
        ),
        net=(2, 0, 2, 2), n=(2, 4),
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
        ask=(
            ("Can I wait until next week?", "No, a sore red eye in a lens wearer should be checked the same day."),
            ("Can the lenses still be worn?", "No, leave both lenses out until an eye specialist has agreed."),
        ),
        net=(0, 1, 2, 0), urgent=(0, 1, 2, 3), n=(2, 3),
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
            "A white spot on the eye is just a harmless mark.",
            "Rinse the lenses with tap water and carry on.",
        ),
        talk=(
            ("Can I rinse my lenses with tap water?", "No, tap water may carry a germ that attacks the cornea and is hard to treat. Use fresh lens solution only, and keep lenses out of showers and pools."),
            ("The redness is better today, do I still need to go?", "Yes, please have it looked at today if there was pain or light sensitivity. An early corneal infection can seem to improve for a while and then damage sight."),
        ),
    ),
    S(
        "toothache-weekend", topic="Toothache at the weekend", ages=(19, 66), heldout=True,
        case="{name}, {age}, has a throbbing tooth since Friday evening.",
        say=(
            "My tooth throbs, and the dentist is closed.",
            "I am {age}, and my cheek has been swollen for {n} days.",
            "My filling fell out and cold drinks hurt.",
            "My son broke a front tooth on his bike.",
        ),
        ask=(
            ("What can I do until Monday?", "Simple painkillers, salt-water rinses and cooling from outside."),
            ("Do antibiotics help?", "They do not replace the dentist, and are needed only if infection spreads."),
        ),
        net=(0, 1, 0, 0), urgent=(1,), n=(2, 3),
        facts=(
            "Throbbing toothache usually means that the nerve in the tooth is inflamed.",
            "Antibiotics do not replace treatment of the tooth.",
            "Swelling that spreads to the neck can become dangerous.",
        ),
        advice=(
            "Rinse with lukewarm salt water and brush gently.",
            "Cool the cheek from outside with a wrapped pack.",
            "Avoid hot, cold and sweet things, and chew on the other side.",
            "Sleep with the head raised.",
            "Keep a broken piece of tooth in milk.",
        ),
        medicine=(
            "Take simple painkillers as the packet says and put none of them on the gum.",
            "Tell the dentist about blood thinners and bone medicines.",
        ),
        warn=(
            "See a dentist within a day or two, even if the pain stops.",
            "Go to hospital for swelling to the eye or neck, or trouble swallowing.",
            "Call an emergency dentist at once for a tooth knocked out.",
        ),
        follow=("A root treatment or a new filling removes the cause.",),
        bad=(
            "When the pain stops, the tooth is cured.",
            "Antibiotics alone will fix any tooth.",
            "A swollen neck is a cold.",
            "Teeth are a luxury anyway.",
        ),
        talk=(("A whole tooth was knocked out, what now?", "Hold it by the crown, rinse briefly if dirty, and put it back if possible, or keep it in milk. See a dentist within the hour. Do not put milk teeth back."),),
    ),
    S(
        "mouth-ulcer-lasting", topic="Mouth ulcers", ages=(20, 76),
        case="{name}, {age}, has had a sore on the tongue for a while and smokes.",
        say=(
            "I get small, painful ulcers in my mouth.",
            "I am {age}, smoke, and have had a sore on my tongue for {n} weeks.",
            "My daughter has ulcers every month.",
            "My denture rubs, and there is a sore below it.",
        ),
        ask=(
            ("Could it be something bad?", "Most ulcers are harmless, but any sore beyond three weeks must be checked."),
            ("What eases the pain?", "Salt-water rinses, soft food and a numbing gel for a few days."),
        ),
        net=(0, 0, 0, 0), urgent=(1,),
        facts=(
            "Small ulcers with a red rim are common and heal within two weeks.",
            "Biting, stress, low iron and some medicines can bring ulcers on.",
            "A sore that does not heal may be an early cancer, above all in smokers.",
        ),
        advice=(
            "Rinse with salt water, and use a soft brush.",
            "Avoid spicy, sour and crunchy food for some days.",
            "Have sharp teeth or dentures smoothed by a dentist.",
            "Stop smoking and keep alcohol low.",
        ),
        medicine=(
            "A numbing gel from the pharmacy can be used for a few days.",
            "Ask whether one of your tablets can cause mouth ulcers.",
        ),
        warn=(
            "See a dentist or doctor about any sore that lasts over three weeks.",
            "Get checked soon for a lump, white or red patch, or numb lip.",
            "Get urgent care if you cannot drink, or have fever with ulcers during chemotherapy.",
        ),
        follow=("A blood test for iron and vitamins helps when ulcers keep coming back.",),
        bad=(
            "Sores in a smoker's mouth are always harmless.",
            "A sore on the tongue can stay for months.",
            "White patches are left-over toothpaste.",
            "A denture must hurt to fit.",
        ),
        talk=(("Is it catching?", "Common mouth ulcers are not catching. Cold sores on the lip are, and so are ulcers with fever in small children, so do not share cups until you know."),),
    ),
]
