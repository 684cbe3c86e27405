// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.reflect.Field;
import java.util.HashSet;
import java.util.Set;
import org.junit.jupiter.api.Test;

class ErrnoTest {
    @Test
    void everyNumberHasItsOwnName() throws Exception {
        int seen = 0;
        for (Field field : Errno.class.getFields()) {
            assertThat(Errno.name(field.getInt(null))).isEqualTo(field.getName());
            seen++;
        }
        assertThat(seen).isGreaterThan(30);
    }

    @Test
    void everyNumberHasItsOwnWordsAndTheyAreNoName() throws Exception {
        Set<String> words = new HashSet<>();
        for (Field field : Errno.class.getFields()) {
            String said = Errno.words(field.getInt(null));
            assertThat(said).as(field.getName()).isNotBlank().doesNotContainPattern("E[A-Z]+");
            assertThat(words.add(said)).as(said).isTrue();
        }
        assertThat(words).hasSizeGreaterThan(30);
    }

    @Test
    void unknownNumberIsShownAsSuch() {
        assertThat(Errno.name(4000)).isEqualTo("errno 4000");
        assertThat(Errno.words(4000)).isEqualTo("error 4000 of Linux");
    }

    @Test
    void exceptionNamesCallObjectAndError() {
        ErrnoException e = new ErrnoException("mmap", "fd=7 offset=0x0 length=4096", Errno.ENOMEM);

        assertThat(e).hasMessage("mmap fd=7 offset=0x0 length=4096: ENOMEM");
        assertThat(e.inWords()).isEqualTo("mmap fd=7 offset=0x0 length=4096: out of memory");
        assertThat(e.call()).isEqualTo("mmap");
        assertThat(e.errno()).isEqualTo(12);
    }

    @Test
    void exceptionWithoutObjectHasNoGap() {
        assertThat(new ErrnoException("eventfd", "", Errno.EMFILE)).hasMessage("eventfd: EMFILE");
    }
}
