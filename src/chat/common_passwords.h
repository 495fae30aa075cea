/* SPDX-License-Identifier: MIT */
/* Passwords of eight characters and more that every guesser tries first. */
#ifndef CHAT_COMMON_PASSWORDS_H
#define CHAT_COMMON_PASSWORDS_H

/* clang-format off */
static const char *const common_passwords[] = {
    "password", "password1", "password12", "password123", "password1234", "Password", "Password1", "Password123",
    "passw0rd", "p@ssw0rd", "P@ssw0rd", "P@ssword1", "12345678", "123456789", "1234567890", "12345678910",
    "0123456789", "987654321", "9876543210", "87654321", "11111111", "111111111", "1111111111", "00000000",
    "000000000", "0000000000", "22222222", "33333333", "44444444", "55555555", "66666666", "77777777",
    "88888888", "99999999", "12121212", "11223344", "1122334455", "123123123", "12341234", "123454321",
    "12344321", "123321123", "112233445566", "147258369", "741852963", "159753456", "789456123", "1q2w3e4r",
    "1q2w3e4r5t", "1q2w3e4r5t6y", "1qaz2wsx", "1qaz2wsx3edc", "1qazxsw2", "zaq12wsx", "zaq1zaq1", "qazwsxedc",
    "qwerty12", "qwerty123", "qwerty1234", "qwerty12345", "qwertyui", "qwertyuiop", "qwertyuiop123", "qwer1234",
    "asdfghjk", "asdfghjkl", "asdf1234", "zxcvbnm1", "zxcvbnm123", "abcdefgh", "abcd1234", "abc12345",
    "abc123456", "a1b2c3d4", "aa123456", "a12345678", "a123456789", "aaaaaaaa", "iloveyou", "iloveyou1",
    "iloveyou2", "sunshine", "sunshine1", "princess", "princess1", "football", "football1", "baseball",
    "baseball1", "basketball", "superman", "superman1", "batman123", "spiderman", "starwars", "starwars1",
    "trustno1", "welcome1", "welcome123", "letmein1", "letmein123", "whatever", "computer", "internet",
    "michelle", "jennifer", "jonathan", "jessica1", "michael1", "charlie1", "elizabeth", "alexander",
    "samantha", "victoria", "patricia", "benjamin", "christopher", "dragon123", "monkey123", "shadow123",
    "master123", "administrator", "admin123", "admin1234", "admin12345", "changeme", "changeme1", "changeme123",
    "default1", "secret123", "security", "access14", "corvette", "mercedes", "maverick", "midnight", "mountain",
    "mustang1", "liverpool", "liverpool1", "chelsea1", "arsenal1", "manchester", "barcelona", "juventus",
    "pokemon1", "pokemon123", "minecraft", "fortnite", "google123", "facebook", "facebook1", "linkedin",
    "motdepasse", "passwort", "passwort1", "contrasena", "senha123", "qwertz123", "qwertzui", "azertyui",
    "azertyuiop", "azerty123", "hallo123", "hello123", "hellohello", "test1234", "testtest", "testing1",
    "testing123", "temp1234", "temppass", "user1234", "root1234", "rootroot", "toor1234", "guest123", "1234qwer",
    "123qweasd", "123qwe123", "q1w2e3r4", "q1w2e3r4t5", "qweasdzxc", "qweqweqwe", "asdasdasd", "zxczxczxc",
    "loveyou1", "lovelove", "babygirl", "babygirl1", "butterfly", "chocolate", "cocacola", "cristina",
    "estrella", "fuckyou1", "fuckyou2", "gangster", "hannah12", "happy123", "hotmail1", "iloveu123",
    "jordan23", "killer123", "lalalala", "lollipop", "marlboro", "natasha1", "nicholas", "november",
    "december", "september", "phoenix1", "purple12", "rainbow1", "scorpion", "snoopy12", "startrek",
    "steelers", "stephanie", "sweetheart", "swordfish", "tinkerbell", "valentina", "volleyball", "winston1",
    "x1x2x3x4", "zaqwsxcde", "111222333", "123abc123", "159357456", "1029384756", "666666666", "7777777777",
};
/* clang-format on */

#endif
