// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

/**
 * Why two devices may answer differently. Immutable.
 *
 * @param id of the statement or decision in docs/conformance.md
 * @param sentence what we do and what QEMU does
 */
public record Explanation(String id, Weight weight, String sentence) {
    /** What the difference says about QEMU's device. */
    public enum Weight {
        MUST("QEMU breaks a MUST"),
        SHOULD("QEMU departs from a SHOULD"),
        TEXT("QEMU breaks a rule in the text"),
        OPEN("the specification leaves it open");

        private final String words;

        Weight(String words) {
            this.words = words;
        }

        @Override
        public String toString() {
            return words;
        }
    }
}
