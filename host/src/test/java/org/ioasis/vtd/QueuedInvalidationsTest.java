// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vtd;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommu.iotlb.CachedTranslations;
import org.ioasis.iommufd.Handled;
import org.ioasis.iommufd.InvalidationRefusal;
import org.ioasis.spec.VtdQueue;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What each descriptor of a queue takes away, and which ones there are not. */
class QueuedInvalidationsTest {
    private final List<String> said = new ArrayList<>();
    private final QueuedInvalidations queue =
            new QueuedInvalidations(new Translations(), new Rest());

    private long run(long... words) {
        // A heap array of words is little-endian here as on any machine that runs this.
        return queue.run(
                MemorySegment.ofArray(words), 0, VtdQueue.SIZE, words.length * 8 / VtdQueue.SIZE);
    }

    @ParameterizedTest
    @CsvSource({
        "0x0000000000000011, 0, contexts -1 -1 -1",
        "0x0000000000070021, 0, contexts 7 -1 -1",
        "0x0000002900070031, 0, contexts 7 29 -1",
        "0x0000000000000012, 0, all",
        "0x0000000000070022, 0, domain 7",
        "0x0000000000070032, 0x5000, secondStage 7 5000-5fff",
        "0x0000000000070032, 0x5041, secondStage 7 4000-5fff",
        "0x0000000000070032, 52, secondStage 7 0-ffffffffffffffff",
        "0x000fffff00070026, 0, space 7 fffff",
        "0x0000000300070036, 0x5040, range 7 3 5000-5fff",
        "0x0000000300070036, 0x5002, range 7 3 4000-7fff",
        "0x0000000000070007, 0, contexts 7 -1 -1",
        "0x0000000300070017, 0, contexts 7 -1 3",
        "0x0000000000000037, 0, contexts -1 -1 -1",
        "0x0000002000000003, 0x5000, forget 20 -1 5000-5fff",
        "0x0000002000000003, 0x5001, forget 20 -1 4000-7fff",
        "0x0000002000000003, 0x7ffffffffffff001, forget 20 -1 0-ffffffffffffffff",
        "0x0000000300200008, 0x6000, forget 20 3 6000-6fff",
        "0x0000000300200008, 0x6800, forget 20 3 6000-7fff",
        "0x0000000300200008, 0x6801, forget 20 -1 6000-7fff",
        "0x0000000000000014, 0, interrupts",
        "0x0000000200000025, 0x11d693c, wait 200000025 11d693c"
    })
    void descriptorDoesWhatItSays(String word0, String word1, String expected) {
        long handled = run(Long.decode(word0), Long.decode(word1));

        assertThat(handled).isEqualTo(Handled.all(1));
        assertThat(said).containsExactly(expected);
    }

    /** FM leaves out the highest bits of the function first: 1, 2 and 3 mean two, four, all. */
    @ParameterizedTest
    @CsvSource({
        "0x0001002900000031, 29 2d",
        "0x0002002900000031, 29 2b 2d 2f",
        "0x0003002900000031, 28 29 2a 2b 2c 2d 2e 2f"
    })
    void functionsOfADeviceGoTogether(String word0, String devices) {
        run(Long.decode(word0), 0);

        List<String> expected = new ArrayList<>();
        for (String device : devices.split(" ", -1)) {
            expected.add("contexts 0 " + device + " -1");
        }
        assertThat(said).containsExactlyElementsOf(expected);
    }

    @ParameterizedTest
    @CsvSource({"0x0", "0x01", "0x02", "0x06", "0x16", "0x27", "0x09", "0x0f", "0x212", "0x812"})
    void whatIsNoDescriptorEndsTheQueueThere(String word0) {
        long handled = run(0x25, 0, Long.decode(word0), 0, 0x12, 0);

        assertThat(Handled.done(handled)).isEqualTo(1);
        assertThat(Handled.refusal(handled)).isEqualTo(InvalidationRefusal.COMMAND);
        assertThat(said).containsExactly("wait 25 0");
    }

    @Test
    void wideDescriptorHasZerosInItsSecondHalf() {
        long[] words = {0x12, 0, 0, 0, 0x12, 0, 0, 1};

        long handled = queue.run(MemorySegment.ofArray(words), 0, 2 * VtdQueue.SIZE, 2);

        assertThat(Handled.done(handled)).isEqualTo(1);
        assertThat(Handled.refusal(handled)).isEqualTo(InvalidationRefusal.TAIL);
        assertThat(said).containsExactly("all");
    }

    private final class Translations implements CachedTranslations {
        private long say(String text) {
            said.add(text);
            return 0;
        }

        @Override
        public void begin() {
            // Told one by one.
        }

        @Override
        public void end() {
            // As well.
        }

        @Override
        public long all() {
            return say("all");
        }

        @Override
        public long domain(int domain) {
            return say("domain %x".formatted(domain));
        }

        @Override
        public long firstStage(int domain) {
            return say("firstStage %x".formatted(domain));
        }

        @Override
        public long space(int domain, int space) {
            return say("space %x %x".formatted(domain, space));
        }

        @Override
        public long range(int domain, int space, long first, long last, int leafLg2) {
            assertThat(leafLg2).isZero();
            return say("range %x %x %x-%x".formatted(domain, space, first, last));
        }

        @Override
        public long everySpace(int domain, long first, long last, int leafLg2) {
            assertThat(leafLg2).isZero();
            return say("everySpace %x %x-%x".formatted(domain, first, last));
        }
    }

    private final class Rest implements QueuedInvalidations.Rest {
        private static String text(int number) {
            return number == ANY ? "-1" : Integer.toHexString(number);
        }

        @Override
        public void secondStage(int domain, long first, long last) {
            said.add("secondStage %x %x-%x".formatted(domain, first, last));
        }

        @Override
        public void contexts(int domain, int device, int space) {
            said.add("contexts %s %s %s".formatted(text(domain), text(device), text(space)));
        }

        @Override
        public void forget(int device, int space, long first, long last) {
            said.add("forget %x %s %x-%x".formatted(device, text(space), first, last));
        }

        @Override
        public void interrupts() {
            said.add("interrupts");
        }

        @Override
        public void wait(long word0, long address) {
            said.add("wait %x %x".formatted(word0, address));
        }
    }
}
