// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** The last close of a file is told, once, and before the close returns. */
class CloseWatchTest {
    private CloseWatch watch;
    private Fd kept;

    @BeforeEach
    void open() throws Exception {
        watch = CloseWatch.create();
        kept = Memfd.create("watched", 4096);
    }

    @AfterEach
    void close() {
        watch.close();
        kept.close();
    }

    private List<Integer> closed() {
        List<Integer> numbers = new ArrayList<>();
        assertThat(watch.drain(numbers::add)).isTrue();
        return numbers;
    }

    @Test
    void theLastDescriptorIsToldAndNoneBefore() throws Exception {
        Fd first = FileBytes.reopen(kept, FileBytes.O_RDWR);
        int number = watch.add(first);
        Fd copy = first.duplicate();

        first.close();
        assertThat(closed()).isEmpty();
        copy.close();
        assertThat(closed()).containsExactly(number);
        assertThat(closed()).isEmpty();
    }

    @Test
    void aMappingKeepsTheFileOpen() throws Exception {
        Fd file = FileBytes.reopen(kept, FileBytes.O_RDWR);
        int number = watch.add(file);
        Mapping mapping = Mapping.map(file, 0, 4096, true);

        file.close();
        assertThat(closed()).isEmpty();
        mapping.close();
        assertThat(closed()).containsExactly(number);
    }

    @Test
    void closesAreToldInTheirOrderAndAFileThatIsNoLongerWatchedIsNot() throws Exception {
        try (Fd second = Memfd.create("second", 1);
                Fd third = Memfd.create("third", 1)) {
            Fd[] files = {
                FileBytes.reopen(kept, FileBytes.O_RDWR),
                FileBytes.reopen(second, FileBytes.O_RDWR),
                FileBytes.reopen(third, FileBytes.O_RDWR)
            };
            int one = watch.add(files[0]);
            int two = watch.add(files[1]);
            int three = watch.add(files[2]);
            assertThat(List.of(one, two, three)).doesNotHaveDuplicates();
            watch.remove(two);
            files[2].close();
            files[1].close();
            files[0].close();

            assertThat(closed()).containsExactly(three, one);
        }
    }
}
